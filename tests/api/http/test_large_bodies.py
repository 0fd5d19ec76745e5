"""Bodies longer than the buffer, which the application reads in whole, in part or not at all."""

from __future__ import annotations

import json

import pytest

from tests.api.wire import JSON, chunks, create, framed, head, request, wired

SIZES = [60_000, 65_536, 66_000, 69_000, 75_000, 100_000, 200_000, 250_000]
"""Bytes on both sides of 64 KiB and of a slice more, and below LIMIT_BODY_BYTES."""

POST = b"POST /graphql HTTP/1.1"


@pytest.mark.parametrize("size", SIZES)
async def test_the_application_gets_all_of_a_body(size: int) -> None:
    """The query comes last."""
    body = b" " * size + json.dumps({"query": create("large@example.com")}).encode()
    first = head(POST, JSON, b"transfer-encoding: chunked")
    pieces = [body[at : at + 5_000] for at in range(0, len(body), 5_000)]
    async with wired() as ask:
        for segments in (
            [framed(POST, [JSON], body)],
            [first + chunks(body)],
            [first + chunks(*pieces)],
            [first, chunks(body)[:-5], b"0\r\n\r\n"],
        ):
            ask.edge.store.commands.clear()
            found = await ask(*segments)
            assert [each.status for each in found] == [200]
            assert ask.created == ["large@example.com"]


@pytest.mark.parametrize("size", SIZES)
async def test_a_request_after_a_body_that_was_not_read_gets_its_response(size: int) -> None:
    body = b"a" * size
    lines = [
        framed(b"POST /nope HTTP/1.1", [JSON], body),
        framed(b"GET /livez HTTP/1.1", [], body),
        framed(POST, [b"content-type: text/plain"], body),
        framed(POST, [JSON], body),
        head(POST, b"transfer-encoding: chunked") + chunks(body),
    ]
    async with wired() as ask:
        for first in lines:
            found = await ask(first + request())
            assert len(found) == 2 or found[0].closes
            async with ask.opened() as wire:
                await wire.send(first)
                response = await wire.response()
                assert response is not None
                if not response.closes:
                    await wire.send(request())
                    assert (await wire.response()) is not None
