"""Batches: each operation of a list is admitted by itself, and all of them share the limits of a request."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from api.auth.access import Access
from api.errors import RequestError
from api.limits import Limits
from tests.api.in_memory_app import ALICE, Edge, edge
from tests.api.tokens import bearer, signed, with_tokens
from tests.api.wire import JSON, framed, wired

if TYPE_CHECKING:
    from api.auth.rate_limit import RateLimiter
    from api.http.graphql_http import Profile

HELLO = {"query": "{ __typename }"}
USER = {"query": f'{{ user(id: "{ALICE}") {{ name }} }}'}
ANSWER = {"data": {"__typename": "Query"}}
WATCH = {"query": f'subscription {{ userChanged(id: "{ALICE}") {{ id }} }}'}
RESPONSE = "application/graphql-response+json"
TYPE = {"content-type": "application/json"}


def create(email: str) -> dict[str, str]:
    field = f'createUser(input: {{name: "A", email: "{email}"}}) {{ id }}'
    return {"query": f"mutation {{ {field} }}"}


async def send(made: Edge, requests: object, **headers: str) -> Any:
    return await made.client.post("/graphql", json=requests, headers=headers)


async def answers(made: Edge, requests: object, **headers: str) -> Any:
    response = await send(made, requests, **headers)
    assert response.status_code == 200, response.text
    return response.json()


def codes(responses: Any) -> list[str | None]:
    """The code of the first error of each response."""
    return [
        one["errors"][0]["extensions"]["code"] if "errors" in one else None for one in responses
    ]


@pytest.mark.parametrize("profile", ["compatible", "strict"])
@pytest.mark.parametrize("accept", ["application/json", RESPONSE])
async def test_the_responses_are_a_list_in_the_order_of_the_operations(
    accept: str, profile: Profile
) -> None:
    async with edge(http_profile=profile, batch_limit=5) as made:
        made.reads.put(ALICE, "Alice")
        requests = [USER, {"query": "{"}, create("a@example.com"), {"query": "{ nothing }"}, HELLO]
        response = await send(made, requests, accept=accept)
        assert response.status_code == 200
        assert response.headers["content-type"] == f"{accept}; charset=utf-8"
        found = response.json()
        assert found[0] == {"data": {"user": {"name": "Alice"}}}
        assert found[2] == {"data": {"createUser": {"id": str(ALICE)}}}
        assert found[4] == ANSWER
        assert codes(found)[1:4:2] == ["GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"]
        assert made.outcomes["mutation", "ok"] == 1
        assert made.outcomes["query", "ok"] == 2


async def test_variables_names_and_extensions_belong_to_their_operation() -> None:
    named = {"query": "query A { a: __typename } query B { b: __typename }", "operationName": "B"}
    async with edge(batch_limit=2) as made:
        found = await answers(made, [named, {**HELLO, "extensions": {"cost": True}}])
        assert found[0] == {"data": {"b": "Query"}}
        assert found[1] == {**ANSWER, "extensions": {"cost": 0}}


REFUSED = {
    "empty": b"[]",
    "too many": json.dumps([HELLO] * 4).encode(),
    "ten thousand": b"[%b]" % b",".join([b'{"query":"{a}"}'] * 10_000),
    "ten thousand of nothing": b"[%b]" % b",".join([b"{}"] * 10_000),
    "a list in it": json.dumps([create("a@example.com"), [create("b@example.com")]]).encode(),
    "a list around it": json.dumps([[create("a@example.com")]]).encode(),
    "lists alone": b"[" * 100_000,
    "a number": json.dumps([create("a@example.com"), 1]).encode(),
    "null": json.dumps([create("a@example.com"), None]).encode(),
    "no query": json.dumps([create("a@example.com"), {}]).encode(),
    "not ended": json.dumps([create("a@example.com")]).encode()[:-1],
    "two lists": json.dumps([create("a@example.com")]).encode() * 2,
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("blanks", [b"", b" \r\n\t"])
async def test_a_list_that_is_refused_is_refused_as_a_whole(name: str, blanks: bytes) -> None:
    async with edge(batch_limit=3) as made:
        body = blanks + REFUSED[name]
        response = await made.client.post("/graphql", content=body, headers=TYPE)
        assert response.status_code == 400
        assert codes([response.json()]) == ["BAD_REQUEST"]
        assert made.store.commands == []
        assert made.outcomes.total() == 1


@pytest.mark.parametrize("limit", [0, 1])
async def test_a_list_is_refused_unless_the_setting_allows_its_length(limit: int) -> None:
    async with edge(batch_limit=limit) as made:
        response = await send(made, [HELLO, HELLO])
        assert response.status_code == 400
        assert "BATCH_LIMIT" in response.json()["errors"][0]["message"]


async def test_the_costs_are_added_up_and_what_is_above_the_budget_is_not_executed() -> None:
    async with edge(Limits(cost_budget=25), batch_limit=4) as made:
        found = await answers(made, [create(f"{n}@example.com") for n in range(3)] + [HELLO])
        assert codes(found) == [None, None, "COST_LIMIT_EXCEEDED", None]
        [error] = found[2]["errors"]
        assert (error["extensions"]["cost"], error["extensions"]["budget"]) == (10, 5)
        assert "has left" in error["message"]
        assert len(made.store.commands) == 2


async def test_the_fields_are_added_up() -> None:
    wide = " ".join(f"a{n}: __typename" for n in range(9))
    deep = f"{{ users(first: 100) {{ nodes {{ {wide} }} }} }}"
    async with edge(Limits(aliases=50), batch_limit=30) as made:
        found = await answers(made, [{"query": deep}] * 30)
        assert codes(found)[0] is None
        assert codes(found)[-1] == "COST_LIMIT_EXCEEDED"


async def test_a_refused_operation_spends_nothing_of_the_budget() -> None:
    async with edge(Limits(cost_budget=10), batch_limit=3) as made:
        wide = {"query": "{ users { nodes { id } } }"}
        found = await answers(made, [wide, create("a@example.com")])
        assert codes(found) == ["COST_LIMIT_EXCEEDED", None]


async def test_each_operation_is_refused_without_a_token_or_its_scope() -> None:
    async with edge(access=with_tokens(), batch_limit=2) as made:
        requests = [USER, create("a@example.com")]
        assert codes(await answers(made, requests)) == ["UNAUTHENTICATED"] * 2
        invalid = await send(made, requests, **bearer("x"))
        assert invalid.status_code == 401
        read_only = bearer(signed(scope="users:read"))
        assert codes(await answers(made, requests, **read_only)) == [None, "FORBIDDEN"]
        assert made.store.commands == []


class Allowance:
    """A rate limiter with a cost that is never restored."""

    def __init__(self, cost: int) -> None:
        self.left = cost

    async def spend(self, _: str, cost: int) -> None:
        if self.left < cost:
            error = {"message": "Rate limit", "extensions": {"code": "RATE_LIMITED"}}
            raise RequestError([error], status=429)
        self.left -= cost


async def test_each_operation_is_charged() -> None:
    access = Access(rate=cast("RateLimiter", Allowance(3)))
    async with edge(access=access, batch_limit=5) as made:
        found = await answers(made, [HELLO, {"query": "{"}, HELLO, HELLO, HELLO])
        assert codes(found) == [None, "GRAPHQL_PARSE_FAILED", None, *["RATE_LIMITED"] * 2]


async def test_each_operation_takes_a_slot() -> None:
    async with edge(Limits(concurrency=2), batch_limit=4) as made:
        made.store.answers.clear()
        requests = [create(f"{n}@example.com") for n in range(4)]
        asking = asyncio.create_task(answers(made, requests))
        while len(made.store.commands) < 2:
            await asyncio.sleep(0)
        made.store.answers.set()
        found = await asking
        assert codes(found) == [None, None, "OVERLOADED", "OVERLOADED"]
        assert codes(await answers(made, [HELLO] * 2)) == [None, None]


async def test_a_subscription_is_refused_in_its_place() -> None:
    async with edge(batch_limit=2) as made:
        assert codes(await answers(made, [WATCH, HELLO])) == ["BAD_REQUEST", None]
        stream = await send(made, [HELLO], accept="text/event-stream")
        assert (stream.status_code, codes([stream.json()])) == (406, ["BAD_REQUEST"])
        assert made.reads.listeners == set()


async def test_the_responses_together_are_no_larger_than_one_response_may_be() -> None:
    async with edge(Limits(response_bytes=80), batch_limit=4) as made:
        found = await answers(made, [HELLO] * 4)
        assert codes(found) == [None, None, "RESPONSE_TOO_LARGE", "RESPONSE_TOO_LARGE"]
        assert "was executed" in found[2]["errors"][0]["message"]


async def test_the_response_is_the_same_without_asgi() -> None:
    body = json.dumps([HELLO, {"query": "{"}]).encode()
    async with wired(http={"batch_limit": 2}) as ask:
        for line in (b"POST /graphql HTTP/1.1", b"POST /graphql?a=b HTTP/1.1"):
            [found] = await ask(framed(line, [JSON], body))
            assert found.status == 200
            assert codes(json.loads(found.body)) == [None, "GRAPHQL_PARSE_FAILED"]


async def test_a_get_takes_no_list() -> None:
    async with edge(batch_limit=2) as made:
        response = await made.client.get("/graphql", params={"query": json.dumps([HELLO])})
        assert codes([response.json()]) == ["GRAPHQL_PARSE_FAILED"]
