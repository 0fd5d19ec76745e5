"""The length of names is limited, because an alias is repeated with every object of the response."""

from __future__ import annotations

import json

import pytest

from tests.api.in_memory_app import ALICE, edge
from tests.api.with_limits import with_limits

TOO_LONG = "A name has more than 100 characters; shorten it."

NAMES = {
    "a field": "{ # }",
    "an alias": "{ #: __typename }",
    "an alias of a field of a list": "{ users { nodes { #: name } } }",
    "an argument": "{ users(#: 1) { totalCount } }",
    "a variable": "query($#: Int) { users(first: $#) { totalCount } }",
    "a variable that is used only": "{ users(first: $#) { totalCount } }",
    "a fragment": "{ ...# } fragment # on Query { __typename }",
    "a fragment that is spread only": "{ ...# }",
    "a fragment that is defined only": "{ __typename } fragment # on Query { __typename }",
    "the type of a fragment": "{ ...F } fragment F on # { __typename }",
    "the type of an inline fragment": "{ ... on # { __typename } }",
    "an operation": "query # { __typename }",
    "an operation that is not executed": "query A { __typename } query # { __typename }",
    "the type of a variable": "query($a: #) { users(first: $a) { totalCount } }",
    "the type of a list variable": "query($a: [#!]!) { users(first: $a) { totalCount } }",
    "a directive": "{ __typename @# }",
    "the argument of a directive": "{ __typename @skip(#: true) }",
    "a directive of an operation": "query @# { __typename }",
    "a directive of a fragment": "{ ...F } fragment F on Query @# { __typename }",
    "a directive of a variable": "query($a: Int @#) { users(first: $a) { totalCount } }",
    "an enum value": "{ users(first: #) { totalCount } }",
    "a field of an object": "mutation { createUser(input: {#: 1}) { id } }",
    "a field of an object in a list": "{ users(first: [[{a: {#: 1}}]]) { totalCount } }",
    "a default": "query($a: Int = #) { users(first: $a) { totalCount } }",
    "a definition of a type": "type # { a: Int }",
    "a field of a definition": "type A { #: Int }",
    "an operation type": "# { __typename }",
    "a name out of place": "{ users(first #) { totalCount } }",
}


@pytest.mark.parametrize("query", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("length", [101, 30_000])
async def test_a_name_that_is_too_long_is_refused_without_being_quoted(
    query: str, length: int
) -> None:
    async with edge() as made:
        response = await made.post(query.replace("#", "a" * length))
        errors = response.json()["errors"]
    assert {error["extensions"]["code"] for error in errors} == {"GRAPHQL_PARSE_FAILED"}
    assert errors[0]["message"] == TOO_LONG
    assert "a" * 20 not in response.text
    assert errors[0]["locations"] == [{"line": 1, "column": query.index("#") + 1}]


@pytest.mark.parametrize("query", NAMES.values(), ids=NAMES)
async def test_a_name_of_just_that_length_is_read(query: str) -> None:
    async with edge() as made:
        response = await made.post(query.replace("#", "a" * 100))
    assert TOO_LONG not in response.text


async def test_a_text_is_no_name() -> None:
    async with edge() as made:
        error = await made.error(f'{{ user(id: "{"a" * 1_000}") {{ id }} }}')
        assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_name_of_just_the_limit_is_returned_and_a_longer_one_is_not() -> None:
    async with edge(with_limits(name_characters=10)) as made:
        assert await made.ask("{ abcdefghij: __typename }") == {"data": {"abcdefghij": "Query"}}
        error = await made.error("{ abcdefghijk: __typename }")
        assert "more than 10 characters" in error["message"]


async def test_the_name_of_an_operation_in_a_request_is_never_quoted() -> None:
    query = f'query A {{ user(id: "{ALICE}") {{ id }} }}'
    async with edge() as made:
        response = await made.post(query, operationName="b" * 100_000)
    [error] = json.loads(response.content)["errors"]
    assert error["extensions"]["code"] == "OPERATION_RESOLUTION_FAILURE"
    assert len(response.content) < 300
