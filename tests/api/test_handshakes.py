"""Handshakes of WebSockets that no client would send, and one that clients do; spoken to a real server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from api.limits import Limits
from tests.api.edge import ALICE, edge, served
from tests.api.test_slow_requests import Wire, one, wired

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HANDSHAKE = {
    b"host": b"localhost",
    b"connection": b"upgrade",
    b"upgrade": b"websocket",
    b"sec-websocket-version": b"13",
    b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
    b"sec-websocket-protocol": b"graphql-transport-ws",
}
INIT = b'\x81\x9b\0\0\0\0{"type": "connection_init"}'


def handshake(changed: dict[bytes, bytes]) -> bytes:
    headers = [b"%b: %b" % header for header in (HANDSHAKE | changed).items()]
    return b"\r\n".join([b"GET /graphql HTTP/1.1", *headers, b"", b""])


@asynccontextmanager
async def shaken(address: str, changed: dict[bytes, bytes]) -> AsyncIterator[tuple[bytes, Wire]]:
    """What a handshake is answered, and the connection."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(handshake(changed))
        async with asyncio.timeout(5):
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
async def test_a_handshake_that_is_none_is_refused_and_takes_no_room(
    changed: dict[bytes, bytes],
) -> None:
    async with edge(Limits(connections=2)) as made, served(made.app) as address:
        for _ in range(4):
            async with shaken(address, changed) as (answer, _):
                assert answer.startswith(b"HTTP/1.1 4")
        async with shaken(address, {}) as (answer, _):
            assert answer.startswith(b"HTTP/1.1 101")


async def test_the_page_of_a_host_whose_name_is_not_ascii_is_our_own() -> None:
    ours = {b"host": b"xn--bcher-kva.example", b"origin": b"https://xn--bcher-kva.example"}
    async with (
        edge() as made,
        served(made.app) as address,
        shaken(address, ours) as (_, (reader, writer)),
    ):
        writer.write(INIT)
        async with asyncio.timeout(5):
            assert await reader.readuntil(b"}") == b'\x81\x19{"type":"connection_ack"}'


@pytest.mark.parametrize(
    "behind", [handshake({}), b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"]
)
async def test_an_event_stream_ends_with_its_client_whatever_is_asked_behind_it(
    behind: bytes,
) -> None:
    watch = urlencode({"query": f'subscription {{ userChanged(id: "{ALICE}") {{ name }} }}'})
    headers = "host: localhost\r\naccept: text/event-stream\r\n"
    async with wired(Limits(keep_alive_seconds=0.02)) as (made, (reader, writer)):
        made.reads.put(ALICE, "Alice")
        writer.write(f"GET /graphql?{watch} HTTP/1.1\r\n{headers}\r\n".encode())
        assert b"Alice" in await one(reader)
        writer.write(behind)
        await writer.drain()
        writer.close()
        async with asyncio.timeout(5):
            while made.reads.listeners:
                await asyncio.sleep(0.01)
