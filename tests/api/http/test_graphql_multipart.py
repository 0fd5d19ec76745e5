"""Subscriptions over multipart HTTP, over a real server."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from api.limits import Limits
from readside.errors import ReadModelUnavailable
from tests.api.in_memory_app import ALICE, Edge, edge, served
from tests.api.tokens import bearer, signed, with_tokens
from tests.api.with_limits import with_limits
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.auth.access import Access

ACCEPT = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json"
WATCH = f'subscription {{ userChanged(id: "{ALICE}") {{ version }} }}'
BOUNDARY = b"\r\n--graphql"


class Parts:
    """Reads parts, each as soon as the boundary after it has arrived."""

    def __init__(self, response: httpx.Response) -> None:
        self._chunks = response.aiter_bytes()
        self._buffer = b""

    async def _until_boundary(self) -> bytes:
        async with limited(5):
            while BOUNDARY not in self._buffer:
                self._buffer += await anext(self._chunks)
        found, _, self._buffer = self._buffer.partition(BOUNDARY)
        return found

    async def opening(self) -> bytes:
        return await self._until_boundary()

    async def next(self) -> Any:
        head, _, body = (await self._until_boundary()).partition(b"\r\n\r\n")
        assert head == b"\r\ncontent-type: application/json"
        return json.loads(body)

    async def ending(self) -> bytes:
        async with limited(5):
            async for chunk in self._chunks:
                self._buffer += chunk
        return self._buffer


@asynccontextmanager
async def streamed(
    query: str,
    limits: Limits | None = None,
    access: Access | None = None,
    headers: dict[str, str] | None = None,
) -> AsyncIterator[tuple[Edge, Parts]]:
    async with edge(limits, access=access) as made, served(made.app) as address:
        made.reads.put(ALICE, "Alice")
        headers = {"accept": ACCEPT, **(headers or {})}
        async with (
            httpx.AsyncClient(base_url=f"http://{address}", headers=headers) as client,
            client.stream("POST", "/graphql", json={"query": query}) as response,
        ):
            assert response.status_code == 200
            media = 'multipart/mixed; boundary="graphql"; subscriptionSpec=1.0'
            assert response.headers["content-type"] == media
            assert response.headers["x-accel-buffering"] == "no"
            assert response.headers["cache-control"] == "no-store"
            parts = Parts(response)
            assert await parts.opening() == b""
            yield made, parts


def told(version: int) -> dict[str, Any]:
    return {"payload": {"data": {"userChanged": {"version": version}}}}


async def test_each_change_is_a_part_with_a_payload() -> None:
    async with streamed(WATCH) as (made, parts):
        assert await parts.next() == told(1)
        made.reads.put(ALICE, "Bob", version=2)
        assert await parts.next() == told(2)


async def test_a_query_is_one_part_and_the_last_boundary() -> None:
    async with streamed("{ __typename }") as (_, parts):
        assert await parts.next() == {"payload": {"data": {"__typename": "Query"}}}
        assert await parts.ending() == b"--\r\n"


async def test_silence_is_broken_by_empty_parts() -> None:
    async with streamed(WATCH, with_limits(keep_alive_seconds=0.02)) as (made, parts):
        assert await parts.next() == told(1)
        assert await parts.next() == {}
        made.reads.put(ALICE, "Bob", version=2)
        while (found := await parts.next()) == {}:
            pass
        assert found == told(2)


async def test_an_error_that_ends_the_stream_has_no_payload() -> None:
    async with streamed(WATCH) as (made, parts):
        assert await parts.next() == told(1)
        made.reads.failure = ReadModelUnavailable()
        for listener in made.reads.listeners:
            listener.notify()
        found = await parts.next()
        assert found["payload"] is None
        [error] = found["errors"]
        assert error["extensions"]["code"] == "READ_MODEL_UNAVAILABLE"
        assert await parts.ending() == b"--\r\n"


async def test_a_stream_ends_when_its_token_expires() -> None:
    token = bearer(signed(exp=time.time() + 2))
    async with streamed(WATCH, access=with_tokens(), headers=token) as (_, parts):
        assert await parts.next() == told(1)
        [error] = (await parts.next())["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"
        assert await parts.ending() == b"--\r\n"


@pytest.mark.parametrize("query", ["{ nothing }", "subscription {", "", f"{WATCH} {WATCH}"])
async def test_a_request_that_is_refused_gets_json(query: str) -> None:
    async with edge() as made:
        response = await made.post(query, headers={"accept": ACCEPT})
        assert response.headers["content-type"].startswith("application/json")
        assert response.status_code == 200
        assert response.json()["errors"]


@pytest.mark.parametrize(
    "accept",
    [
        "multipart/mixed, application/json",
        "multipart/mixed;deferSpec=20220824, application/json",
        "multipart/mixed;subscriptionSpec=2.0, application/json",
        "multipart/mixed;subscriptionSpec=1.0;q=0, application/json",
        "multipart/form-data;subscriptionSpec=1.0, application/json",
        "application/json, multipart/mixed;subscriptionSpec=1.0",
    ],
)
async def test_another_multipart_type_is_not_offered(accept: str) -> None:
    async with edge() as made:
        response = await made.post("{ __typename }", headers={"accept": accept})
        assert response.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("spec", ["1.0", '"1.0"', "1.0;q=0.9"])
async def test_the_parameter_may_be_quoted_and_weighted(spec: str) -> None:
    async with edge() as made:
        accept = f"multipart/mixed;SubscriptionSpec={spec}"
        response = await made.post("{ __typename }", headers={"accept": accept})
        assert response.headers["content-type"].startswith("multipart/mixed")


async def test_a_mutation_over_get_is_refused() -> None:
    async with edge() as made:
        query = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'
        response = await made.client.get(
            "/graphql", params={"query": query}, headers={"accept": ACCEPT}
        )
        assert response.status_code == 405
        assert made.store.commands == []


async def test_a_stream_ends_when_the_process_does() -> None:
    async with streamed(WATCH) as (made, parts):
        assert await parts.next() == told(1)
        made.app.state.closing.set()
        assert await parts.ending() == b""
        async with limited(5):
            while made.reads.listeners:
                await asyncio.sleep(0.01)
