"""A connection executes a POST to GraphQL without ASGI, and the response is the same as through it."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from api.auth.access import Access
from api.auth.rate_limit import RateLimiter
from api.limits import Limits
from tests.api.in_memory_app import ALICE
from tests.api.tokens import signed, with_tokens
from tests.api.wire import JSON, create, framed, head, request, wired

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.api.wire import Response, Wired

USER = f'{{ user(id: "{ALICE}") {{ name }} }}'
LINE = b"POST /graphql HTTP/1.1"
GRAPHQL = b"accept: application/graphql-response+json"
OWN = {"date", "connection", "keep-alive"}
"""Headers that the connection adds."""

SAME = {
    "a query": ([JSON], json.dumps({"query": USER}).encode()),
    "in the other media type": ([JSON, GRAPHQL], json.dumps({"query": USER}).encode()),
    "a mutation": ([JSON], json.dumps({"query": create("a@example.com")}).encode()),
    "a document that cannot be parsed": ([JSON, GRAPHQL], b'{"query": "{"}'),
    "no JSON": ([JSON], b"{"),
    "a batch": ([JSON], b"[]"),
    "no body": ([JSON], b""),
    "another media type": ([b"content-type: text/plain"], b"{}"),
    "no media type": ([], b"{}"),
    "nothing acceptable": ([JSON, b"accept: image/png"], b"{}"),
    "a coding": ([JSON, b"content-encoding: br"], b"{}"),
    "a body that is too long": ([JSON], b" " * 300_000),
    "an invalid token": ([JSON, b"authorization: Bearer x"], b'{"query": "{ __typename }"}'),
    "two tokens": (
        [JSON, b"authorization: Bearer x", b"authorization: Bearer y"],
        b'{"query": "{ __typename }"}',
    ),
    "a subscription": ([JSON], b'{"query": "subscription { userChanged(id: 1) { id } }"}'),
    "a stream": ([JSON, b"accept: text/event-stream"], b'{"query": "{ __typename }"}'),
}


async def through_asgi(ask: Wired, headers: list[bytes], body: bytes) -> httpx.Response:
    pairs = [
        (name.strip(), value.strip()) for name, _, value in (x.partition(b":") for x in headers)
    ]
    if not any(name == b"accept" for name, _ in pairs):
        pairs.append((b"accept", b"*/*"))
    return await ask.edge.client.post("/graphql", content=body, headers=pairs)


@pytest.mark.parametrize("access", [Access(), with_tokens()], ids=["open", "with tokens"])
@pytest.mark.parametrize("name", SAME)
async def test_the_response_is_the_same_as_through_asgi(name: str, access: Access) -> None:
    headers, body = SAME[name]
    async with wired(access=access) as ask:
        with capture_logs() as direct:
            [found] = await ask(framed(LINE, headers, body))
        with capture_logs() as logs:
            expected = await through_asgi(ask, headers, body)
        assert (found.status, found.body) == (expected.status_code, expected.content)
        assert own(found) == {k: v for k, v in expected.headers.items() if k not in OWN}
        assert lines(direct) == lines(logs)


def own(response: Response) -> dict[str, str]:
    """The headers that the endpoint decides about."""
    streams = {"transfer-encoding"}
    return {k: v for k, v in response.headers.items() if k not in OWN | streams}


def lines(logs: Sequence[Any]) -> list[dict[str, Any]]:
    """Returns the log lines without their durations."""
    return [{k: v for k, v in line.items() if k != "ms"} for line in logs]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 1_500), max_size=12), st.integers(1, 6))
def test_requests_may_arrive_in_any_segments(cuts: Sequence[int], many: int) -> None:
    async def run() -> None:
        async with wired() as ask:
            [expected] = await ask(request(USER))
            stream = request(USER) * many
            places = [0, *sorted({cut for cut in cuts if cut < len(stream)}), len(stream)]
            found = await ask(*(stream[a:b] for a, b in pairwise(places)))
            assert [each.body for each in found] == [expected.body] * many

    asyncio.run(run())


@pytest.mark.parametrize(
    "token",
    [None, "nonsense", signed(exp=1), signed(scope="users:write")],
    ids=["none", "nonsense", "expired", "of another scope"],
)
async def test_a_caller_without_the_right_is_refused_and_logged_each_time(
    token: str | None,
) -> None:
    headers = [] if token is None else [b"authorization: Bearer " + token.encode()]
    async with wired(access=with_tokens()) as ask:
        with capture_logs() as logs:
            found = [await ask(request(USER, *headers)) for _ in range(3)]
    first, second, third = lines([one for one in logs if one["event"] == "operation.failed"])
    assert first == second == third
    assert b"Alice" not in found[0][0].body
    assert [each.body for [each] in found] == [found[0][0].body] * 3


async def test_a_caller_with_the_right_gets_data() -> None:
    async with wired(access=with_tokens()) as ask:
        [found] = await ask(request(USER, b"authorization: Bearer " + signed().encode()))
        assert b"Alice" in found.body


class RecordingRateLimiter:
    """A rate limiter that records the keys of the allowances."""

    def __init__(self) -> None:
        self.rate_keys: list[str] = []

    async def spend(self, rate_key: str, _: int) -> None:
        self.rate_keys.append(rate_key)


@pytest.mark.parametrize(
    ("headers", "account"),
    [
        ((), "127.0.0.1"),
        ((b"x-forwarded-for: 192.0.2.7",), "192.0.2.7"),
        ((b"x-forwarded-for: 203.0.113.1, 192.0.2.7",), "192.0.2.7"),
    ],
)
@pytest.mark.parametrize("line", [LINE, b"POST /graphql?a=b HTTP/1.1"], ids=["direct", "ASGI"])
async def test_the_rate_counts_the_address_that_a_trusted_proxy_names(
    line: bytes, headers: tuple[bytes, ...], account: str
) -> None:
    counting = RecordingRateLimiter()
    async with wired(access=Access(rate=cast("RateLimiter", counting))) as ask:
        await ask(request(USER, *headers, line=line))
    assert counting.rate_keys == [account]


async def test_a_trailer_does_not_name_another_address() -> None:
    counting = RecordingRateLimiter()
    body = request(USER).partition(b"\r\n\r\n")[2]
    async with wired(access=Access(rate=cast("RateLimiter", counting))) as ask:
        data = head(LINE, JSON, b"transfer-encoding: chunked")
        await ask(data + b"%x\r\n%b\r\n0\r\nx-forwarded-for: 192.0.2.7\r\n\r\n" % (len(body), body))
    assert counting.rate_keys == ["127.0.0.1"]


async def test_a_body_of_the_greatest_length_in_small_pieces_is_read() -> None:
    body = json.dumps({"query": USER}).encode().ljust(Limits().body_bytes)
    async with wired() as ask:
        pieces = [body[i : i + 50_000] for i in range(0, len(body), 50_000)]
        [found] = await ask(head(LINE, JSON, b"content-length: %d" % len(body)), *pieces)
        assert b"Alice" in found.body
