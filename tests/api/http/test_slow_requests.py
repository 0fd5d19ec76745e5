"""A request has so long to arrive, headers and body each; spoken byte by byte to a real server."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from api.auth.security_headers import SECURITY_HEADERS
from api.limits import Limits
from tests.api.in_memory_app import ALICE, Edge, edge, served
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BODY = b'{"query": "{ __typename }"}'
HEADERS = b"POST /graphql HTTP/1.1\r\nhost: tandem\r\ncontent-type: application/json\r\n"
REQUEST = HEADERS + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
QUICK = Limits(request_seconds=0.15)

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def wired(limits: Limits = QUICK) -> AsyncIterator[tuple[Edge, Wire]]:
    async with edge(limits) as made, served(made.app) as address:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            yield made, (reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    """A byte at a time, and never all of them."""
    with suppress(OSError):
        for byte in data * 1_000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.01)


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """Sends bytes until the connection closes, which a reset reports."""
    found = b""
    with suppress(ConnectionError):
        async with limited(5):
            while part := await reader.read(1 << 16):
                found += part
    return found


async def one(reader: asyncio.StreamReader) -> bytes:
    """One response of this service, which ends with the closing brace."""
    async with limited(5):
        return await reader.readuntil(b"}}")


async def dripping(wire: Wire, data: bytes) -> bytes:
    reader, writer = wire
    dripping = asyncio.create_task(drip(writer, data))
    try:
        return await all_of(reader)
    finally:
        dripping.cancel()


async def test_headers_that_drip_get_408() -> None:
    async with wired() as (_, wire):
        wire[1].write(HEADERS)
        found = await dripping(wire, b"x-more: and more\r\n")
        assert found.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b'"code":"BAD_REQUEST"' in found


async def test_a_body_that_drips_gets_408_and_nothing_is_executed() -> None:
    async with wired() as (made, wire):
        wire[1].write(HEADERS + b"content-length: 100000\r\n\r\n")
        found = await dripping(wire, b" ")
        assert found.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert found.count(b"HTTP/1.1") == 1
        assert made.executor.admission.documents.misses == 0


async def test_a_body_that_drips_after_its_response_closes_the_connection() -> None:
    async with wired() as (_, wire):
        wire[1].write(HEADERS.replace(b"POST", b"PUT ") + b"content-length: 100000\r\n\r\n")
        found = await dripping(wire, b" ")
        assert found.startswith(b"HTTP/1.1 405")
        assert found.count(b"HTTP/1.1") == 1


async def test_a_connection_without_a_request_closes_without_a_response() -> None:
    async with wired() as (_, (reader, _)):
        assert await all_of(reader) == b""


async def test_a_connection_between_two_requests_may_be_silent_for_longer() -> None:
    async with wired() as (_, (reader, writer)):
        for _ in range(2):
            writer.write(REQUEST)
            assert b"200 OK" in await one(reader)
            await asyncio.sleep(QUICK.request_seconds * 2)


async def test_headers_that_drip_after_a_first_request_are_late_too() -> None:
    async with wired() as (_, wire):
        wire[1].write(REQUEST)
        assert b"200 OK" in await one(wire[0])
        assert b"HTTP/1.1 408" in await dripping(wire, HEADERS[:20])


async def test_a_request_with_a_slow_response_is_not_late() -> None:
    query = f'{{"query": "{{ user(id: \\"{ALICE}\\") {{ name }} }}"}}'.encode()
    async with wired() as (made, (reader, writer)):
        made.reads.put(ALICE, "Alice")
        made.reads.unanswered = []
        writer.write(HEADERS + b"content-length: %d\r\n\r\n" % len(query) + query)
        await asyncio.sleep(QUICK.request_seconds)
        writer.write(HEADERS)  # the next one has begun, and waits for its turn
        await asyncio.sleep(QUICK.request_seconds * 1.5)
        for answer, replies in made.reads.unanswered:
            answer.set_result(replies)
        assert b"200 OK" in await one(reader)
        assert b"HTTP/1.1 408" in await all_of(reader)


async def test_a_body_after_a_slow_response_has_the_full_time_to_arrive() -> None:
    limits = Limits(request_seconds=0.6)
    async with wired(limits) as (made, (reader, writer)):
        made.store.answers.clear()
        query = b'{"query": "mutation { eraseUser(input: {userId: \\"%b\\"}) { id } }"}' % (
            str(ALICE).encode()
        )
        writer.write(HEADERS + b"content-length: %d\r\n\r\n" % len(query) + query)
        writer.write(HEADERS + b"content-length: %d\r\n\r\n" % len(BODY) + BODY[:5])
        await asyncio.sleep(limits.request_seconds * 1.8)
        made.store.answers.set()
        assert b"200 OK" in await one(reader)
        await asyncio.sleep(limits.request_seconds / 2)  # more than was left of the second 0.6 s
        writer.write(BODY[5:])
        assert b"200 OK" in await one(reader)


async def test_a_request_in_pieces_that_arrive_in_time_gets_its_response() -> None:
    async with wired(Limits(request_seconds=5)) as (_, (reader, writer)):
        for piece in (REQUEST[:10], REQUEST[10:-10], REQUEST[-10:]):
            writer.write(piece)
            await asyncio.sleep(0.02)
        assert b"200 OK" in await one(reader)


async def test_headers_without_end_get_431() -> None:
    async with wired(Limits()) as (_, (reader, writer)):
        writer.write(HEADERS + b"x-long: ")
        await asyncio.sleep(0.05)
        writer.write(b"a" * (64 * 1024 + 1))
        assert (await all_of(reader)).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("asked", [b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"])
async def test_bytes_that_are_no_http_get_400_and_the_headers_of_every_response(
    asked: bytes,
) -> None:
    async with wired(Limits()) as (_, (reader, writer)):
        writer.write(asked)
        found = await all_of(reader)
    head, _, body = found.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}
    for name, value in SECURITY_HEADERS:
        assert name + b": " + value in head
