"""No request makes the service fail: each gets its response, and is counted once.

FUZZ_SECONDS=3600 searches longer, and FUZZ_SEED=… repeats a search whose seed a failure has named.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from tests.api.http.request_mutations import Fuzz
from tests.api.in_memory_app import ALICE, edge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.in_memory_app import Edge

SECONDS: Final = float(os.environ.get("FUZZ_SECONDS", "10"))
"""Of each of the two tests."""

SEED: Final = int(os.environ.get("FUZZ_SEED", str(time.time_ns())))
ACCEPTED: Final = (b"application/json", b"application/graphql-response+json", b"text/event-stream")


async def exchange(
    made: Edge, method: str, body: bytes, query: bytes, accept: bytes
) -> tuple[int, bytes]:
    """The status and the body of the response; the client disconnects once it has sent its request."""
    headers = [(b"accept", accept), (b"content-type", b"application/json"), (b"host", b"localhost")]
    if method == "GET":
        headers.append((b"graphql-preflight", b"1"))
    scope = {
        "type": "http",
        "method": method,
        "path": "/graphql",
        "query_string": query,
        "headers": headers,
        "http_version": "1.1",
        "client": ("127.0.0.1", 1),
    }
    sent: list[Any] = []
    received = iter([{"type": "http.request", "body": body}])

    async def receive() -> Any:
        return next(received, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    await made.app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def storable(command: Any) -> bool:
    """Whether both stores take all of its texts: PostgreSQL no NUL, neither of them half a surrogate pair."""
    return b"\\u0000" not in msgspec.json.encode(command)


def requests(method: str, seed: int) -> Iterator[tuple[bytes, bytes]]:
    fuzz = Fuzz(seed)
    while True:
        yield (fuzz.body(), b"") if method == "POST" else (b"", fuzz.query_string())


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_no_request_makes_the_service_fail(method: str) -> None:
    ends, seen = time.monotonic() + SECONDS, 0
    async with edge() as made:
        made.reads.put(ALICE, "Alice")
        made.reads.version_timeout_seconds = 0
        for number, (body, query) in enumerate(requests(method, SEED)):
            about = f"FUZZ_SEED={SEED}: {method} number {number}, {query!r} {body!r}"
            for _ in range(2):  # what comes again is remembered
                status, answer = await exchange(made, method, body, query, ACCEPTED[number % 3])
                seen += 1
                assert status < 500, about
                assert b'"INTERNAL"' not in answer, about
                assert made.outcomes.total() == seen, about
            assert all(map(storable, made.store.commands)), about
            made.store.commands.clear()
            await asyncio.sleep(0)
            if time.monotonic() > ends:
                break
    codes = {code for _, code in made.outcomes}
    assert {"ok", "BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"} <= codes
