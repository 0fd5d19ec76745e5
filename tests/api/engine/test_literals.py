"""Texts that differ in literals alone share one template, and their responses are the same as without it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.engine.documents.document_cache import DocumentCache
from api.engine.literals import split_literals
from api.errors import RequestError
from api.limits import Limits
from api.schema.merged import SCHEMA
from tests.api.in_memory_app import ALICE, edge
from tests.api.with_limits import with_limits

USER = '{ user(id: "%s", minVersion: 1) { orders(first: %s) { totalCount } } }'
KINDS = (
    "{ user(id: %s) { name } }",
    "{ users(first: %s) { totalCount } }",
    "{ userByEmail(email: %s) { id } }",
    "query Q($f: Int = %s) { users(first: $f) { nodes { orders(first: 3) { totalCount } } } }",
    "{ a: users(first: 3) { totalCount } b: users(first: %s) { totalCount } }",
    "{ users(first: 3) { totalCount } users(first: %s) { totalCount } }",
    "{ users(first: 3) { ... on UserConnection { nodes { orders(first: %s) { totalCount } } } } }",
    'mutation { createUser(input: {name: %s, email: "a@b.example"}) { id } }',
    'mutation { updateUserEmail(input: {userId: "x", email: "y", expectedVersion: %s}) { id } }',
    "{ __type(name: %s) { name } }",
    "{ users(first: %s) @include(if: true) { totalCount } }",
    '{ user(id: "x") { orders(first: 2, after: %s) { nodes { id } } } }',
)
NUMBERS = ["007", "-0", "1.5", "1e5", ".5", "0", "2147483648", "-2147483648", "1 2", "5 # x"]
TEXTS = ['""', '"""', '""""""', '"""a"""', '"a\\"b"', '"\\u0041"', '"\\q"', '"#"', '"a" "b"']
OTHERS = ["null", "true", "OPEN", "$f", "[1]", '["a"]', "{}"]
LITERALS = st.one_of(
    st.integers().map(str),
    st.integers(-200, 200).map(str),
    st.text(max_size=8).map(lambda text: f'"{text}"'),
    st.sampled_from([*NUMBERS, *TEXTS, *OTHERS]),
)


def outcome(documents: DocumentCache, text: str) -> object:
    """Returns everything that the execution of the text may depend on."""
    try:
        prepared = documents.get(text)
    except RequestError as error:
        return error.errors
    values = prepared.values({})
    found = {
        name: (each.type, each.cost(values).cost) for name, each in prepared.operations.items()
    }
    return found, prepared.public, prepared.parse()


@pytest.mark.parametrize("kind", KINDS)
@given(first=LITERALS, second=LITERALS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_literals_are_a_text_is_taken_as_if_it_were_the_first(
    kind: str, first: str, second: str
) -> None:
    warm, cold = DocumentCache(SCHEMA, Limits()), DocumentCache(SCHEMA, Limits())
    outcome(warm, kind % first)
    assert outcome(warm, kind % second) == outcome(cold, kind % second)


def test_a_text_with_a_cached_template_is_neither_parsed_nor_validated() -> None:
    documents = DocumentCache(SCHEMA, Limits())
    for number in range(1, 6):
        documents.get(USER % (number, number))
    assert (documents.misses, documents.hits) == (1, 4)


def test_literals_are_distinguished_from_similar_text() -> None:
    assert split_literals('{ user1(id: "1", first: -20) }') == (
        '{ user1(id: ", first: \0) }',
        ["1", -20],
    )
    for text in (
        '{ a(b: "x\\"y") }',
        '{ a(b: """x""") }',
        "{ a(b: 1) } # 2",
        "{ a }",
        "{ a(b: 1.5) }",
    ):
        assert split_literals(text) is None


async def test_each_text_is_executed_with_its_own_literals() -> None:
    async with edge() as made:
        made.reads.put(ALICE, "Alice")
        for _ in range(2):
            for user, name in ((ALICE, "Alice"), ("019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e40", None)):
                answer = await made.ask('{ user(id: "ID") { name } }'.replace("ID", str(user)))
                assert (answer["data"]["user"] or {}).get("name") == name
        assert made.executor.engine.execution_paths["plan"] == 3


async def test_an_error_has_its_location_in_its_own_text() -> None:
    async with edge() as made:
        columns = []
        for user in ("a", "ab", "abcdef"):
            text = '{ user(id: "ID") { name } users(first: 1000) { totalCount } }'
            answer = await made.ask(text.replace("ID", user))
            columns.append(sorted(error["locations"][0]["column"] for error in answer["errors"]))
        assert columns == [[3, 26], [3, 27], [3, 31]]
        assert made.executor.engine.execution_paths["replay"] == 2


async def test_a_text_with_a_cached_template_costs_what_its_own_literals_cost() -> None:
    ask = "{ users(first: %d) { nodes { orders(first: %d) { nodes { id } } } } }"
    async with edge(limits=Limits(cost_budget=1000)) as made:
        for _ in range(2):
            await made.ask(ask % (2, 2))
        refused = await made.ask(ask % (90, 90))
        assert refused["errors"][0]["extensions"]["code"] == "COST_LIMIT_EXCEEDED"


def test_a_shape_is_forgotten_with_the_text_it_was_found_in() -> None:
    documents = DocumentCache(SCHEMA, with_limits(cached_documents=2))
    documents.get(USER % (1, 1))
    documents.get("{ a: __typename }")
    documents.get(USER % (2, 2))  # which keeps it young
    documents.get("{ b: __typename }")
    documents.get(USER % (3, 3))
    assert documents.misses == 3
    for name in "cd":
        documents.get(f"{{ {name}: __typename }}")
    documents.get(USER % (4, 4))
    assert documents.misses == 6
