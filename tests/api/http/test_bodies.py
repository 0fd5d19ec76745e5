"""Request bodies: they reach the application whole, in any segments, and those that it does not read go."""

from __future__ import annotations

import json

import pytest

from tests.api.wire import JSON, QUERY, chunks, head, request, until, wired

POST = b"POST /graphql HTTP/1.1"


def padded(size: int) -> bytes:
    """A body of this many bytes whose end matters."""
    body = json.dumps({"query": QUERY}).encode()
    return b" " * (size - len(body)) + body


@pytest.mark.parametrize("size", [4_096, 65_536, 66_000, 70_000, 100_000, 200_000, 262_144])
@pytest.mark.parametrize("first", [1_000, 10_000, 66_000, 99_000])
async def test_a_body_in_two_segments_is_read_whole(size: int, first: int) -> None:
    body = padded(size)
    async with wired() as ask:
        for data in (
            head(POST, JSON, b"content-length: %d" % size) + body,
            head(POST, JSON, b"transfer-encoding: chunked") + chunks(body[:9], body[9:]),
        ):
            found = await ask(data[:first], data[first:] + request())
            assert [each.status for each in found] == [200, 200]


@pytest.mark.parametrize("size", [263_000, 300_000, 327_000])
async def test_a_body_that_is_too_long_in_its_last_part_is_refused(size: int) -> None:
    data = head(POST, JSON, b"transfer-encoding: chunked") + chunks(padded(size))
    async with wired() as ask:
        for first in (10_000, 100_000, 186_000, 200_000, 250_000):
            found = await ask(data[:first], data[first:])
            assert [each.status for each in found] == [413]


@pytest.mark.parametrize("line", [b"POST /nope HTTP/1.1", b"GET /livez HTTP/1.1"])
@pytest.mark.parametrize("size", [60_000, 65_536, 65_537, 66_000, 69_000])
async def test_a_body_that_is_not_read_does_not_block_the_next_request(
    line: bytes, size: int
) -> None:
    """Sizes around the one at which reading pauses, delivered in one read."""
    data = head(line, b"content-length: %d" % size) + b" " * size
    async with wired() as ask, ask.opened() as wire:
        await until(lambda: bool(ask.connections))
        [connection] = ask.connections
        connection.data_received(data)
        first = await wire.response()
        assert first is not None
        assert not first.closes
        await wire.send(request())
        second = await wire.response()
        assert second is not None
        assert b"__typename" in second.body


async def test_a_body_that_was_not_read_does_not_stay_in_memory() -> None:
    data = head(b"POST /nope HTTP/1.1", b"content-length: 60000") + b" " * 60_000
    async with wired() as ask, ask.opened() as wire:
        await until(lambda: bool(ask.connections))
        [connection] = ask.connections
        connection.data_received(data)
        found = await wire.response()
        assert found is not None
        assert not found.closes
        assert connection._reading is None  # noqa: SLF001


@pytest.mark.parametrize("cut", ["lines", "bytes", "chunks"])
async def test_chunks_are_no_overhead_in_any_segments(cut: str) -> None:
    """As many as would exceed the limit on extensions if two bytes of each counted as one."""
    body = padded(40_000)
    async with wired() as ask, ask.opened() as wire:
        await until(lambda: bool(ask.connections))
        [connection] = ask.connections
        connection.data_received(head(POST, JSON, b"transfer-encoding: chunked"))
        for at in range(0, len(body), 8):
            parts = [b"8\r\n", body[at : at + 8], b"\r\n"]
            whole = b"".join(parts)
            segments = {"lines": parts, "bytes": [bytes([one]) for one in whole], "chunks": [whole]}
            for segment in segments[cut]:
                connection.data_received(segment)
        connection.data_received(b"0\r\n\r\n")
        found = await wire.response()
        assert found is not None
        assert found.status == 200
