"""Clients may query the schema, unless a setting hides it."""

from __future__ import annotations

import pytest
from graphql import OperationDefinitionNode, get_introspection_query, parse, print_ast

from tests.api.in_memory_app import edge
from tests.api.tokens import with_tokens


async def test_the_schema_is_there_by_default() -> None:
    async with edge() as made:
        assert "errors" not in await made.ask(get_introspection_query())
        assert (await made.client.get("/schema.graphql")).status_code == 200


@pytest.mark.parametrize(("times", "answered"), [(2, True), (3, False)])
async def test_an_operation_may_ask_for_twice_as_much_of_the_schema_as_tools_do(
    times: int, answered: bool
) -> None:
    operation, *fragments = parse(get_introspection_query()).definitions
    assert isinstance(operation, OperationDefinitionNode)
    [whole] = map(print_ast, operation.selection_set.selections)
    asked = " ".join(f"a{number}: {whole}" for number in range(times))
    async with edge() as made:
        answer = await made.ask(f"{{ {asked} }} {' '.join(map(print_ast, fragments))}")
        assert ("data" in answer) is answered


async def test_a_type_whose_name_is_a_variable_counts_as_all_of_them() -> None:
    inner = "fields { name type { name fields { name type { name } } } }"
    asked = " ".join(f"a{number}: __type(name: $n) {{ {inner} }}" for number in range(9))
    async with edge() as made:
        answer = await made.ask(f"query($n: String!) {{ {asked} }}", n="Query")
        assert "fields of the schema" in answer["errors"][0]["message"]


async def test_every_type_has_is_one_of_even_one_that_wraps_another() -> None:
    async with edge() as made:
        answer = await made.ask(
            '{ __type(name: "RenameUserInput") { isOneOf inputFields { type { kind isOneOf } } } }'
        )
        fields = answer["data"]["__type"].pop("inputFields")
        assert answer == {"data": {"__type": {"isOneOf": False}}}
        assert {"type": {"kind": "NON_NULL", "isOneOf": None}} in fields
        assert {"type": {"kind": "SCALAR", "isOneOf": None}} in fields


@pytest.mark.parametrize("query", [get_introspection_query(), '{ __type(name: "User") { name } }'])
async def test_without_introspection_the_schema_is_hidden(query: str) -> None:
    async with edge(introspection=False) as made:
        errors = (await made.ask(query))["errors"]
        assert {error["extensions"]["code"] for error in errors} == {"GRAPHQL_VALIDATION_FAILED"}
        assert (await made.client.get("/schema.graphql")).status_code == 404


async def test_without_introspection_a_type_still_has_a_name() -> None:
    async with edge(introspection=False) as made:
        assert await made.ask("{ __typename }") == {"data": {"__typename": "Query"}}


async def test_where_nothing_is_public_nothing_is_read_without_a_token() -> None:
    async with edge(introspection=False, access=with_tokens()) as made:
        for query in ("{", "{ nobody }", "{ __typename }"):
            assert (await made.error(query))["extensions"]["code"] == "UNAUTHENTICATED"
        assert made.executor.admission.documents.misses == 0
