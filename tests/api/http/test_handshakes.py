"""Handshakes of WebSockets that no client would send, and one that clients do; spoken to a real server."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import weakref
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

import pytest
from starlette.websockets import WebSocket

from api.auth.security_headers import SECURITY_HEADERS
from api.http.protocols.server_config import uvicorn_config
from api.http.protocols.websocket_protocol import WebSocketConnection
from api.limits import Limits
from tests.api.http.test_slow_requests import Wire, one, wired
from tests.api.in_memory_app import ALICE, edge, running, served
from tests.api.wire import request, until
from tests.api.wire import wired as over_http
from tests.api.with_limits import with_limits
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

HANDSHAKE = {
    b"host": b"localhost",
    b"connection": b"upgrade",
    b"upgrade": b"websocket",
    b"sec-websocket-version": b"13",
    b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
    b"sec-websocket-protocol": b"graphql-transport-ws",
}
INIT = b'\x81\x9b\0\0\0\0{"type": "connection_init"}'


def handshake(changed: Mapping[bytes, bytes | None], path: str = "/graphql") -> bytes:
    given = {**HANDSHAKE, **changed}.items()
    headers = [b"%b: %b" % (name, value) for name, value in given if value is not None]
    return b"\r\n".join([b"GET %b HTTP/1.1" % path.encode(), *headers, b"", b""])


@asynccontextmanager
async def shaken(address: str, changed: Mapping[bytes, bytes]) -> AsyncIterator[tuple[bytes, Wire]]:
    """Yields the response to a handshake, and the connection."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(handshake(changed))
        async with limited(5):
            yield await reader.readuntil(b"\r\n\r\n"), (reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    "changed",
    [
        {b"sec-websocket-protocol": b"graphql-transport-ws, \xff"},
        {b"sec-websocket-extensions": b"\xff"},
        {b"connection": b"upgrade, \xff"},
        {b"host": b"\xff"},
        {b"host": b"xn--a"},
        {b"x": b"x" * 60_000},
        {b"sec-websocket-version": b"8"},
    ],
)
async def test_a_malformed_handshake_is_refused_and_takes_no_slot(
    changed: Mapping[bytes, bytes],
) -> None:
    async with edge(Limits(connections=2)) as made, served(made.app) as address:
        for _ in range(4):
            async with shaken(address, changed) as (answer, _):
                assert answer.startswith(b"HTTP/1.1 4")
        async with shaken(address, {}) as (answer, _):
            assert answer.startswith(b"HTTP/1.1 101")


async def test_the_page_of_a_host_with_a_name_that_is_not_ascii_has_the_same_origin() -> None:
    ours = {b"host": b"xn--bcher-kva.example", b"origin": b"https://xn--bcher-kva.example"}
    async with (
        edge() as made,
        served(made.app) as address,
        shaken(address, ours) as (_, (reader, writer)),
    ):
        writer.write(INIT)
        async with limited(5):
            assert await reader.readuntil(b"}") == b'\x81\x19{"type":"connection_ack"}'


@pytest.mark.parametrize(
    "behind", [handshake({}), b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"]
)
async def test_an_event_stream_ends_with_its_client_whatever_request_follows(
    behind: bytes,
) -> None:
    watch = urlencode({"query": f'subscription {{ userChanged(id: "{ALICE}") {{ name }} }}'})
    headers = "host: localhost\r\naccept: text/event-stream\r\n"
    async with wired(with_limits(keep_alive_seconds=0.02)) as (made, (reader, writer)):
        made.reads.put(ALICE, "Alice")
        writer.write(f"GET /graphql?{watch} HTTP/1.1\r\n{headers}\r\n".encode())
        assert b"Alice" in await one(reader)
        writer.write(behind)
        await writer.drain()
        writer.close()
        async with limited(5):
            while made.reads.listeners:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("path", "changed", "status"),
    [
        ("/graphql", {b"sec-websocket-version": b"8"}, 426),
        ("/graphql", {b"sec-websocket-version": b""}, 400),
        ("/graphql", {b"sec-websocket-key": None}, 400),
        ("/graphql", {b"sec-websocket-protocol": b"graphql-transport-ws, \xff"}, 400),
        ("/graphql", {b"host": b"xn--a"}, 400),
        ("/", {}, 404),
        ("/livez", {}, 404),
        ("/graphql/more", {}, 404),
    ],
)
async def test_a_refused_handshake_gets_a_whole_response(
    path: str, changed: dict[bytes, bytes | None], status: int
) -> None:
    async with edge() as made, served(made.app) as address:
        check_refusal(await answer(address, handshake(changed, path)), status)


async def test_a_handshake_whose_application_fails_is_refused_with_500(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("starlette.websockets.WebSocket.accept", fail)
    async with edge() as made, served(made.app) as address:
        check_refusal(await answer(address, handshake({})), 500)


async def test_a_handshake_at_the_end_of_the_process_is_refused_with_503(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = asyncio.Event()

    async def wait(*_: Any) -> None:
        waiting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("starlette.websockets.WebSocket.accept", wait)
    async with (
        edge() as made,
        running(uvicorn_config(made.app, timeout_graceful_shutdown=0)) as server,
    ):
        asking = asyncio.create_task(answer("{}:{}".format(*server.address), handshake({})))
        await waiting.wait()
        server.should_exit = True
        check_refusal(await asking, 503)


async def answer(address: str, request: bytes) -> bytes:
    """All bytes until the connection ends."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    try:
        async with limited(5):
            return await reader.read()
    finally:
        writer.close()


def check_refusal(found: bytes, status: int) -> None:
    head, _, body = found.partition(b"\r\n\r\n")
    status_line, *lines = head.split(b"\r\n")
    headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
    assert status_line.startswith(b"HTTP/1.1 %d " % status)
    named = dict(headers)
    assert len(named) == len(headers)
    assert set(SECURITY_HEADERS) <= set(headers)
    assert b"close" in named[b"connection"]
    assert int(named[b"content-length"]) == len(body)
    assert parsedate_to_datetime(named[b"date"].decode()).tzinfo is not None
    [error] = json.loads(body)["errors"]
    assert error["message"]
    if status == 426:
        assert named[b"sec-websocket-version"] == b"13"
        assert named[b"upgrade"] == b"websocket"
    if status == 503:
        assert named[b"retry-after"] == b"1"


async def test_frames_that_come_before_the_handshake_is_accepted_are_read_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No client should send them so early; then they must not be lost either."""
    accepting, received = asyncio.Event(), asyncio.Event()
    accept, data_received = WebSocket.accept, WebSocketConnection.data_received

    async def wait(socket: WebSocket, *arguments: Any) -> None:
        accepting.set()
        await received.wait()
        await accept(socket, *arguments)

    def receive(connection: WebSocketConnection, data: bytes) -> None:
        data_received(connection, data)
        if data == INIT:
            received.set()

    monkeypatch.setattr(WebSocket, "accept", wait)
    monkeypatch.setattr(WebSocketConnection, "data_received", receive)
    async with edge() as made, served(made.app) as address:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(handshake({}))
        await accepting.wait()
        writer.write(INIT)
        async with limited(5):
            assert b"connection_ack" in await reader.readuntil(b"}")
        writer.close()


@pytest.mark.parametrize("padding", [0, 4_000, 4_096, 9_000, 17_000, 31_000])
async def test_a_handshake_is_read_whole_and_frames_that_came_with_it_when_it_is_accepted(
    padding: int,
) -> None:
    data = handshake({b"x": b"x" * padding} if padding else {})
    async with wired(Limits()) as (_, (reader, writer)):
        writer.write(data + INIT)
        async with limited(5):
            assert b"101 Switching Protocols" in await reader.readuntil(b"\r\n\r\n")
            assert b"connection_ack" in await reader.readuntil(b"}")


async def test_a_websocket_knows_that_its_client_has_not_read_what_came_before() -> None:
    """Otherwise its bytes would accumulate, because a transport calls pause_writing only once."""
    async with over_http() as ask, ask.opened() as wire:
        await until(lambda: bool(ask.connections))
        [connection] = ask.connections
        transport = connection.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        cast("asyncio.Transport", wire.writer.transport).pause_reading()
        while connection.is_writable:
            transport.write(b" " * 1_024)
        connection.data_received(handshake({}))
        [websocket] = cast("set[Any]", ask.connections)
        assert isinstance(websocket, WebSocketConnection)
        assert not websocket.writable.is_set()
        assert ask.server.config.context.unsent_bytes.bytes  # type: ignore[attr-defined]


async def test_no_lost_websocket_waits_for_the_garbage_collector() -> None:
    async with over_http() as ask:
        gc.collect()
        gc.disable()
        try:
            async with ask.opened() as wire:
                await wire.send(request())
                assert await wire.response() is not None
                lost = [weakref.ref(each) for each in ask.connections]
                await wire.send(handshake({}))
                await wire.reader.readuntil(b"\r\n\r\n")
                lost += [weakref.ref(each) for each in ask.connections]
            await until(lambda: all(each() is None for each in lost))
        finally:
            gc.enable()
