"""FEDERATION: `_entities` finds users by their keys, and `_service` has the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from graphql import build_schema, parse

from api.auth.access import Access
from api.auth.scopes import ANONYMOUS, Caller
from api.engine.operation_type import QUERIES
from api.engine.request import Request
from api.limits import Limits
from api.schema.federation import subgraph
from api.schema.merged import SCHEMA, sdl
from tests.api.in_memory_app import ALICE, Edge, edge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ENTITIES = (
    "query($these: [_Any!]!) { _entities(representations: $these) { ... on User { id name } } }"
)
BOB = UUID(int=ALICE.int + 1)
NOBODY = UUID(int=ALICE.int + 2)


def user(id_: object, **others: object) -> dict[str, object]:
    return {"__typename": "User", "id": str(id_), **others}


@pytest.fixture
async def made() -> AsyncIterator[Edge]:
    async with edge(federation=True) as made:
        made.reads.put(ALICE, "Alice")
        made.reads.put(BOB, "Bob")
        yield made


async def test_entities_are_in_the_order_of_their_representations_with_null_in_place(
    made: Edge,
) -> None:
    these = [user(BOB), user(NOBODY), user(ALICE, email="ignored"), user(BOB)]
    for _ in range(3):  # by graphql-core, and by a plan
        answer = await made.ask(ENTITIES, these=these)
        names = [each and each["name"] for each in answer["data"]["_entities"]]
        assert names == ["Bob", None, "Alice", "Bob"]
    assert made.executor.engine.execution_paths["plan"] > 0
    assert await made.ask(ENTITIES, these=[]) == {"data": {"_entities": []}}


async def test_literals_are_representations_too(made: Edge) -> None:
    literal = f'{{__typename: "User", id: "{ALICE}"}}'
    for _ in range(3):
        answer = await made.ask(
            f"{{ _entities(representations: [{literal}]) {{ __typename ... on User {{ name }} }} }}"
        )
        assert answer["data"]["_entities"] == [{"__typename": "User", "name": "Alice"}]


async def test_one_batch_reads_all(made: Edge) -> None:
    made.reads.asked = 0
    await made.ask(ENTITIES, these=[user(ALICE), user(BOB), user(NOBODY)])
    assert made.reads.asked == 1


async def test_each_representation_costs_what_a_user_costs(made: Edge) -> None:
    for number in (1, 7, 100):
        body = {"query": ENTITIES, "variables": {"these": [user(ALICE)] * number}}
        response = await made.client.post("/graphql", json={**body, "extensions": {"cost": True}})
        assert response.json()["extensions"] == {"cost": number}


HOSTILE: dict[str, Any] = {
    "null": None,
    "a number": 1,
    "a text": "User",
    "a list": [],
    "no type": {"id": str(ALICE)},
    "no id": {"__typename": "User"},
    "an id that is null": {"__typename": "User", "id": None},
    "an id that is a number": {"__typename": "User", "id": 1},
    "an id that is an object": {"__typename": "User", "id": {"$ne": None}},
    "an id that is no UUID": user("../../etc/passwd"),
    "an id with a NUL": user("\0"),
    "a long id": user("x" * 100_000),
    "an unknown type": {"__typename": "Nobody", "id": str(ALICE)},
    "a type that has no key": {"__typename": "Query", "id": str(ALICE)},
    "a type of the machinery": {"__typename": "__Type", "id": str(ALICE)},
    "a type that is a list": {"__typename": ["User"], "id": str(ALICE)},
    "another key": {"__typename": "User", "email": "alice@example.com"},
    "101 of them": [user(ALICE)] * 101,
}


@pytest.mark.parametrize("representation", HOSTILE.values(), ids=HOSTILE)
async def test_what_represents_no_entity_is_refused(made: Edge, representation: Any) -> None:
    these = (
        representation if isinstance(representation, list) and representation else [representation]
    )
    made.reads.asked = 0
    for _ in range(3):
        [error] = (await made.ask(ENTITIES, these=these))["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert made.reads.asked == 0


async def test_entities_need_the_scope_of_their_type(made: Edge) -> None:
    request = Request(query=ENTITIES, variables={"these": [user(ALICE)]})
    for scopes, code in ((frozenset(), "FORBIDDEN"), (frozenset({"users:read"}), None)):
        caller = Caller(is_authenticated=True, subject="a", scopes=scopes)
        for _ in range(3):
            response = await made.executor.execute(request, QUERIES, caller)
            codes = [error["extensions"]["code"] for error in response.get("errors", ())]
            assert codes == ([] if code is None else [code])


async def test_the_budget_bounds_the_representations() -> None:
    async with edge(Limits(cost_budget=5), federation=True) as made:
        error = await made.error(ENTITIES, these=[user(ALICE)] * 6)
        assert error["extensions"]["code"] == "COST_LIMIT_EXCEEDED"


async def test_the_service_has_the_schema_with_keys(made: Edge) -> None:
    answer = await made.ask("{ _service { sdl } }")
    text = answer["data"]["_service"]["sdl"]
    assert '@link(url: "https://specs.apollo.dev/federation/v2.3"' in text
    [user_type] = [line for line in text.splitlines() if line.startswith("type User ")]
    assert user_type.endswith('@key(fields: "id") {')
    assert "type PageInfo @shareable {" in text
    assert "_entities" not in text
    parse(text)


async def test_the_budget_bounds_how_often_a_response_repeats_the_schema(made: Edge) -> None:
    texts = [f"{{ _service {{ {' '.join(f'a{at}: sdl' for at in range(n))} }} }}" for n in (49, 50)]
    assert "errors" not in await made.ask(texts[0])
    error = await made.error(texts[1])
    assert error["extensions"] == {"code": "COST_LIMIT_EXCEEDED", "cost": 5_001, "budget": 5_000}


async def test_without_introspection_there_is_no_service() -> None:
    async with edge(introspection=False, federation=True) as made:
        assert (await made.error("{ _service { sdl } }"))["extensions"]["code"] == (
            "GRAPHQL_VALIDATION_FAILED"
        )
        made.reads.put(ALICE, "Alice")
        answer = await made.ask(ENTITIES, these=[user(ALICE)])
        assert answer["data"]["_entities"][0]["name"] == "Alice"


def test_the_schema_is_the_same_without_the_two_fields() -> None:
    core, _ = subgraph(introspection=True)
    assert core.type_map.keys() - SCHEMA.type_map.keys() == {"_Any", "_Entity", "_Service"}
    assert core.query_type is not None
    assert SCHEMA.query_type is not None
    assert core.query_type.fields.keys() - SCHEMA.query_type.fields.keys() == {
        "_entities",
        "_service",
    }
    build_schema(sdl())


async def test_it_is_off_by_default() -> None:
    async with edge() as made:
        for query in (ENTITIES, "{ _service { sdl } }"):
            codes = {
                error["extensions"]["code"] for error in (await made.ask(query, these=[]))["errors"]
            }
            assert codes == {"GRAPHQL_VALIDATION_FAILED"}


async def test_the_service_needs_no_token_as_the_schema_needs_none() -> None:
    tokens: Any = _NoTokens()
    async with edge(access=Access(tokens=tokens), federation=True) as made:
        assert "data" in await made.ask("{ _service { sdl } }")
        assert (await made.error(ENTITIES, these=[]))["extensions"]["code"] == "UNAUTHENTICATED"


class _NoTokens:
    async def caller(self, _: str | None) -> Caller:
        return ANONYMOUS
