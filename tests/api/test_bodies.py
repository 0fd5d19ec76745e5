"""Request bodies: they reach the application whole, in any segments, and are dropped if it does not read them."""

from __future__ import annotations

import json

import pytest

from tests.api.wire import JSON, QUERY, chunks, head, request, wired

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
