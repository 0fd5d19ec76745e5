"""Every close code of a WebSocket and its cause (tests/interop checks which ones graphql-ws retries)."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from api.auth.access import Access
from api.http import websocket_close_codes
from api.http.protocols.server_config import uvicorn_config
from api.http.websocket_close_codes import Close
from api.limits import Limits
from tests.api.http.test_graphql_ws import INIT, PROTOCOL, WATCH, heard, subscribe, tell
from tests.api.in_memory_app import ALICE, Edge, Server, edge, running
from tests.api.tokens import signed, with_tokens
from tests.api.with_limits import with_limits
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

CODES = {
    name: close for name, close in vars(websocket_close_codes).items() if isinstance(close, Close)
}
PING = b"\x89\x80\0\0\0\0"
QUERY = {"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }"}}


class FailingAccess(Access):
    async def caller_from_init(self, *_: Any) -> Any:
        raise RuntimeError("a bug")


class Client(NamedTuple):
    """An open connection, and the server at its other end."""

    made: Edge
    server: Server
    socket: ClientConnection


def sends(*messages: Any) -> Callable[[Client], Awaitable[None]]:
    async def send(client: Client) -> None:
        with suppress(ConnectionClosed):
            for message in messages:
                text = isinstance(message, dict)
                await (tell(client.socket, message) if text else client.socket.send(message))

    return send


def writes(data: bytes) -> Callable[[Client], Awaitable[None]]:
    async def write(client: Client) -> None:
        client.socket.transport.write(data)

    return write


async def shuts_down(client: Client) -> None:
    client.server.should_exit = True


async def subscribes_twice_with_one_id(client: Client) -> None:
    await tell(client.socket, INIT)
    for _ in range(2):
        await subscribe(client.socket, WATCH)


async def does_not_read(client: Client) -> None:
    """Until its subscription has ended; while it has one, there are changes."""
    await tell(client.socket, INIT)
    await subscribe(client.socket, WATCH)
    await heard(client.socket)
    await until(lambda: bool(client.made.reads.listeners))
    client.socket.transport.pause_reading()
    version = 1
    while client.made.reads.listeners:
        version += 1
        if version < 500:
            client.made.reads.put(ALICE, "x" * 10_000, version)
        await asyncio.sleep(0.001)
    client.socket.transport.resume_reading()


async def connects(_: Client) -> None:
    pass


class Case(NamedTuple):
    cause: Callable[[Client], Awaitable[None]]
    limits: Limits = with_limits(send_seconds=0.3)
    access: Access | None = None
    subprotocol: bool = True
    origin: Origin | None = None
    others: int = 0
    """Connections that are open before."""


CASES: dict[str, Case] = {
    "MESSAGE_TOO_BIG": Case(sends(INIT, "x" * 100_000, "x"), Limits(body_bytes=1_000)),
    "NOT_TEXT": Case(sends(b"{}")),
    "NOT_A_MESSAGE": Case(sends("{}")),
    "NOT_INITIALISED": Case(sends(QUERY)),
    "NO_SUBPROTOCOL": Case(connects, subprotocol=False),
    "DUPLICATE_ID": Case(subscribes_twice_with_one_id),
    "SECOND_INIT": Case(sends(INIT, INIT)),
    "SHUTDOWN": Case(shuts_down),
    "TOO_MANY_CONNECTIONS": Case(connects, with_limits(sockets=1), others=1),
    "TOO_MANY_FRAMES": Case(writes(PING * 100_000), with_limits(frames=100)),
    "TOO_SLOW": Case(does_not_read),
    "FAILED": Case(sends(INIT), access=FailingAccess()),
    "FOREIGN_PAGE": Case(connects, origin=Origin("https://elsewhere.example")),
    "INIT_TIMEOUT": Case(connects, with_limits(init_seconds=0.05)),
    "PONG_TIMEOUT": Case(does_not_read, with_limits(ping_seconds=0.05)),
}
OTHERS: dict[int, Case] = {
    1002: Case(writes(b"\x83\x80\0\0\0\0" + b"x" * 10_000)),
    1007: Case(writes(b"\x81\x81\0\0\0\0\xff" + b"x" * 10_000)),
    4403: Case(
        sends({**INIT, "payload": {"authorization": f"Bearer {signed(exp=1)}"}}),
        access=with_tokens(),
    ),
}
"""Whose reason differs."""


@asynccontextmanager
async def opened(case: Case) -> AsyncIterator[Client]:
    async with (
        edge(case.limits, access=case.access) as made,
        running(uvicorn_config(made.app)) as server,
    ):
        made.reads.put(ALICE, "Alice")
        others = [await _connect(server, case) for _ in range(case.others)]
        client = await _connect(server, case)
        try:
            yield Client(made, server, client)
        finally:
            for each in (client, *others):
                each.transport.abort()


async def _connect(server: Server, case: Case) -> ClientConnection:
    """With a small receive buffer, so that the server notices soon that it does not read."""
    plug = socket.socket()
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plug.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plug, server.address)
    spoken = [PROTOCOL] if case.subprotocol else None
    return await connect(
        "ws://localhost/graphql", sock=plug, subprotocols=spoken, origin=case.origin
    )


async def until(condition: Callable[[], bool]) -> None:
    async with limited(10):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", CODES)
async def test_each_close_code_comes_with_its_reason(name: str) -> None:
    async with opened(CASES[name]) as client:
        await CASES[name].cause(client)
        assert await last_close(client.socket) == CODES[name]


@pytest.mark.parametrize("code", OTHERS)
async def test_each_other_close_code_comes(code: int) -> None:
    async with opened(OTHERS[code]) as client:
        await OTHERS[code].cause(client)
        assert (await last_close(client.socket))[0] == code


async def last_close(socket: ClientConnection) -> tuple[int, str]:
    """Returns the Close frame after all messages that were sent before."""
    with suppress(ConnectionClosed):
        async with limited(10):
            async for _ in socket:
                pass
    assert socket.close_code != 1006, "the connection was reset"
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""
