"""A response that is too large is refused on every transport, counted under its code and logged once."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from api.limits import Limits
from tests.api.http.test_graphql_ws import connected, heard, subscribe
from tests.api.in_memory_app import ALICE, edge
from tests.api.users import put_users
from tests.api.with_limits import with_limits

if TYPE_CHECKING:
    import httpx

    from tests.api.in_memory_app import Edge

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
STREAM = "text/event-stream"

USER = f'{{ user(id: "{ALICE}") {{ name }} }}'
BODY = b'{"data":{"user":{"name":"Alice"}}}'
FAILING = f'{{ user(id: "{ALICE}") {{ name }} a: user(id: "x") {{ id }} }}'
CREATE = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id version } }'
WATCH = f'subscription {{ userChanged(id: "{ALICE}") {{ name }} }}'
TOO_LARGE = {"code": "RESPONSE_TOO_LARGE"}


async def get(made: Edge, query: str) -> httpx.Response:
    headers = {"graphql-preflight": "1", "accept": RESPONSE}
    return await made.client.get("/graphql", params={"query": query}, headers=headers)


async def post(made: Edge, query: str, accept: str = RESPONSE) -> httpx.Response:
    return await made.post(query, headers={"accept": accept})


async def test_the_limit_is_the_bytes_of_the_whole_response() -> None:
    for query in (USER, FAILING):
        async with edge() as made:
            made.reads.put(ALICE, "Alice")
            expected = (await post(made, query)).content
            assert query == FAILING or expected == BODY
        for spare, status in ((0, 200), (-1, 400)):
            async with edge(Limits(response_bytes=len(expected) + spare)) as made:
                made.reads.put(ALICE, "Alice")
                for _ in range(2):  # by graphql-core, and by a plan
                    response = await post(made, query)
                    assert response.status_code == status
                    assert status == 400 or response.content == expected


@pytest.mark.parametrize(("accept", "status"), [(JSON, 200), (RESPONSE, 400)])
async def test_a_response_that_is_too_large_is_refused_counted_and_logged_once(
    accept: str, status: int
) -> None:
    async with edge(Limits(response_bytes=len(BODY) - 1)) as made:
        made.reads.put(ALICE, "Alice")
        with capture_logs() as logs:
            response = await post(made, USER, accept)
        [error] = response.json()["errors"]
        assert (response.status_code, error["extensions"]) == (status, TOO_LARGE)
        assert "LIMIT_RESPONSE_BYTES" in error["message"]
        assert "data" not in response.json()
        assert made.outcomes == {("query", "RESPONSE_TOO_LARGE"): 1}
        assert [line["event"] for line in logs] == ["operation.failed"]


async def test_strict_clients_get_422() -> None:
    async with edge(Limits(response_bytes=1), http_profile="strict") as made:
        assert (await post(made, USER)).status_code == 422


async def test_a_response_to_a_get_is_limited_too() -> None:
    async with edge(Limits(response_bytes=1)) as made:
        response = await get(made, USER)
        assert response.json()["errors"][0]["extensions"] == TOO_LARGE
        assert made.outcomes == {("query", "RESPONSE_TOO_LARGE"): 1}


@pytest.mark.parametrize("query", [USER, WATCH])
async def test_an_event_is_limited_too(query: str) -> None:
    async with edge(Limits(response_bytes=1)) as made:
        made.reads.put(ALICE, "Alice")
        response = await post(made, query, STREAM)
        first, last, *_ = response.text.split("\n\n")
        [error] = json.loads(first.removeprefix("event: next\ndata: "))["errors"]
        assert error["extensions"] == TOO_LARGE
        assert last == "event: complete\ndata:"
        assert sum(made.outcomes.values()) == 1
        assert {code for _, code in made.outcomes} == {"RESPONSE_TOO_LARGE"}


@pytest.mark.parametrize("query", [USER, WATCH])
async def test_a_message_is_limited_too(query: str) -> None:
    async with connected(Limits(response_bytes=1)) as (made, socket):
        made.reads.put(ALICE, "Alice")
        await subscribe(socket, query)
        message = await heard(socket)
        assert message["type"] == "error"
        assert [error["extensions"] for error in message["payload"]] == [TOO_LARGE]
        assert {code for _, code in made.outcomes} == {"RESPONSE_TOO_LARGE"}


async def test_a_mutation_whose_response_is_too_large_says_that_it_was_carried_out() -> None:
    async with edge(Limits(response_bytes=20)) as made:
        error = await made.error(CREATE)
        assert error["extensions"] == TOO_LARGE
        assert "was carried out" in error["message"]
        assert len(made.store.commands) == 1
        assert "was carried out" not in (await made.error(USER))["message"]


async def test_a_response_within_the_limit_has_its_cost() -> None:
    async with edge() as made:
        made.reads.put(ALICE, "Alice")
        response: Any = (await made.post(USER, extensions={"cost": True})).json()
        assert response == {"data": {"user": {"name": "Alice"}}, "extensions": {"cost": 1}}


@pytest.mark.parametrize("letters", [99, 3_900])
async def test_little_input_never_takes_much_memory(letters: int) -> None:
    """63 KB of document became 255 MB of response, within the cost budget."""
    aliases = " ".join(f"{'a' * letters}{letter}: id" for letter in "abcdefghijklmno")
    orders = f"orders(first: 47) {{ nodes {{ {aliases} status total placedAt completedAt }} }}"
    async with edge(with_limits(response_fields=100_000, query_seconds=100)) as made:
        put_users(made.reads, 100, orders=47)
        tracemalloc.start()
        try:
            response = await post(made, f"{{ users(first: 100) {{ nodes {{ {orders} }} }} }}")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        [error] = response.json()["errors"]
        small = letters + 1 <= Limits().name_characters
        assert error["extensions"]["code"] == (
            "RESPONSE_TOO_LARGE" if small else "GRAPHQL_PARSE_FAILED"
        )
        assert peak < 48 * 1024 * 1024
