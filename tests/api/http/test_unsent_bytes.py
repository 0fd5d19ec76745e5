"""Responses that clients do not read: one at a time for each socket, and so many bytes in one process."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID

import pytest
import uvloop

from api.http.protocols.server_config import uvicorn_config
from api.http.protocols.unsent_bytes import HIGH_WATER, UnsentBytes
from api.limits import Limits
from tests.api.http.test_close_codes import until
from tests.api.http.test_slow_readers import HANDSHAKE, WATCH, Peer, message
from tests.api.in_memory_app import ALICE, Edge, Server, edge
from tests.api.with_limits import with_limits
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

QUERY = "{ users(first: 100) { nodes { name } } }"
RESPONSE = 300_000
"""Bytes of the names alone."""
OPERATIONS = 8
PATIENT = with_limits(send_seconds=60)


class Service(NamedTuple):
    made: Edge
    address: tuple[str, int]
    unsent: UnsentBytes
    connections: set[Any]


@asynccontextmanager
async def service(limits: Limits = PATIENT) -> AsyncIterator[Service]:
    """Whose sockets have small buffers in the kernel, so that nearly all bytes of a response stay unsent."""
    async with edge(limits) as made:
        for number in range(100):
            made.reads.put(UUID(int=1 << 100 | number), "x" * (RESPONSE // 100))
        server_config = uvicorn_config(made.app, log_level="warning")
        server = Server(server_config)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            serving = asyncio.create_task(server.serve([listener]))
            await server.listening.wait()
            yield Service(
                made,
                listener.getsockname(),
                server_config.context.unsent_bytes,  # type: ignore[attr-defined]
                server.server_state.connections,
            )
            server.should_exit = server.force_exit = True
            await serving


@asynccontextmanager
async def client(address: tuple[str, int]) -> AsyncIterator[Peer]:
    with socket.socket() as plug:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plug.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plug, address)
        yield Peer(plug)


@asynccontextmanager
async def websocket(address: tuple[str, int], operations: int) -> AsyncIterator[Peer]:
    """Sends so many queries, and reads nothing."""
    async with client(address) as peer:
        await peer.send(HANDSHAKE)
        assert b"101" in await peer.read()
        await peer.send(message(type="connection_init"))
        await query(peer, *map(str, range(operations)))
        yield peer


async def query(peer: Peer, *ids: str) -> None:
    await peer.send(
        b"".join(message(type="subscribe", id=id_, payload={"query": QUERY}) for id_ in ids)
    )


async def settled(service: Service) -> int:
    """The unsent bytes, once they change no more."""
    before = -1
    async with limited(10):
        while before != (before := service.unsent.bytes) or not before:
            await asyncio.sleep(0.05)
    return before


async def read_operations(peer: Peer, count: int) -> bytes:
    found = b""
    async with limited(10):
        while found.count(b'"type":"complete"') < count:
            found += await peer.read()
    return found


async def test_operations_on_an_unread_socket_are_executed_one_after_the_other() -> None:
    async with service() as served, websocket(served.address, OPERATIONS) as peer:
        assert RESPONSE / 2 < await settled(served) < RESPONSE * 1.1
        executed = served.made.reads.asked
        await query(peer, "more")
        await settled(served)
        assert served.made.reads.asked == executed
        found = await read_operations(peer, OPERATIONS + 1)
        assert len(found) > RESPONSE * (OPERATIONS + 1)
        assert served.made.reads.asked == executed * (OPERATIONS + 1)


async def test_operations_that_ran_concurrently_are_counted() -> None:
    async with service() as served:
        served.made.reads.unanswered = []
        async with websocket(served.address, OPERATIONS) as peer:
            async with limited(10):
                while len(served.made.reads.unanswered) < OPERATIONS:
                    await asyncio.sleep(0.01)
            for future, replies in served.made.reads.unanswered:
                future.set_result(replies)
            served.made.reads.unanswered = None
            assert await settled(served) > RESPONSE * (OPERATIONS - 1)
            assert len(await read_operations(peer, OPERATIONS)) > RESPONSE * OPERATIONS
            async with limited(5):
                while served.unsent.bytes:
                    await asyncio.sleep(0.01)


@asynccontextmanager
async def post(address: tuple[str, int], accept: str = "application/json") -> AsyncIterator[Peer]:
    """Sends the query, and reads nothing."""
    body = json.dumps({"query": QUERY}).encode()
    async with client(address) as peer:
        await peer.send(
            b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"accept: %b\r\ncontent-length: %d\r\n\r\n%b" % (accept.encode(), len(body), body)
        )
        yield peer


@pytest.mark.parametrize(
    "unread",
    [partial(websocket, operations=OPERATIONS), post, partial(post, accept="text/event-stream")],
    ids=["WebSockets", "responses", "event streams"],
)
async def test_above_the_limit_of_the_process_connections_are_aborted_and_others_served(
    unread: Callable[[tuple[str, int]], AbstractAsyncContextManager[Peer]],
) -> None:
    limit = 5 * RESPONSE // 2
    limits = with_limits(unsent_bytes=limit, send_seconds=60)
    async with service(limits) as served, AsyncExitStack() as stack:
        for _ in range(6):
            await stack.enter_async_context(unread(served.address))
        assert await settled(served) <= limit
        await until(lambda: len(served.connections) == 2)
        async with websocket(served.address, 1) as reader:
            assert len(await read_operations(reader, 1)) > RESPONSE


async def test_small_unread_messages_of_many_connections_are_counted() -> None:
    """Which asyncio would not tell of below 64 KiB."""
    async with service() as served, websocket(served.address, 0) as peer:
        served.made.reads.put(ALICE, "Alice")
        await peer.send(message(type="subscribe", id="1", payload={"query": WATCH}))
        version = 1
        async with limited(10):
            while not served.unsent.bytes:
                version += 1
                served.made.reads.put(ALICE, "x" * 100, version)
                await asyncio.sleep(0)
        assert served.unsent.bytes < 2 * HIGH_WATER


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_transport_is_counted_from_the_write_that_fills_it_until_it_has_drained(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_fill_and_drain())


async def _fill_and_drain() -> None:
    unsent, much = UnsentBytes(2_000_000), b"x" * 1_000_000

    class Protocol(asyncio.Protocol):
        lost = False

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.Transport", transport)
            unsent.connected(self.transport)

        def pause_writing(self) -> None:
            unsent.paused(self.transport)

        def resume_writing(self) -> None:
            unsent.resumed(self.transport)

        def connection_lost(self, _: Exception | None) -> None:
            unsent.resumed(self.transport)
            self.lost = True

    ours, theirs = socket.socketpair()
    with theirs:
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Protocol, sock=ours)
        transport.write(much)
        assert len(much) / 2 < unsent.bytes <= len(much)
        async with limited(5):
            while unsent.bytes:
                await loop.sock_recv(theirs, 1 << 16)
        transport.write(much)
        transport.write(much * 2)
        unsent.check()
        assert unsent.bytes == 0
        async with limited(5):
            while not protocol.lost:
                await asyncio.sleep(0)
