"""A document is valid exactly if it is for graphql-core, though that validates only a few."""

from __future__ import annotations

import re

import pytest
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    parse,
    specified_rules,
    validate,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import from_schema, nodes

from api.engine.validation.fast_validator import FastValidator
from api.engine.validation.validator import Validator
from api.limits import Limits
from api.schema.merged import SCHEMA
from tests.api.engine.hostile_documents import DOCUMENTS
from tests.api.engine.validation_corpus import RIGHT, UNUSUAL, WRONG, ZOO

EDGE = (SCHEMA, FastValidator(SCHEMA))
"""The service's own schema."""
PARK = (ZOO, FastValidator(ZOO))
Side = tuple[GraphQLSchema, FastValidator]

TEXTS = [
    "query($id: ID!) { user(id: $id) { id name email orders(first: 5) { nodes { id total } totalCount } } }",
    """query($after: String) { users(first: 20, after: $after) { ...Page totalCount } }
    fragment Page on UserConnection { nodes { ...Person orders { totalCount } } totalCount }
    fragment Person on User { id name orders { nodes { total } } }""",
    """mutation($name: String!) { createUser(input: {name: $name, email: "a@example.com"}) { id user { name }
    errors { __typename ... on CommandError { message path } ... on EmailAlreadyRegistered { code } } } }""",
    "subscription($id: ID!) { userChanged(id: $id, afterVersion: 7) { id name version } }",
]
TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|\.\.\.|[A-Za-z_]\w*|-?\d+(?:\.\d+)?|[^\s,]')


def stock(schema: GraphQLSchema, document: DocumentNode) -> list[GraphQLError]:
    return validate(schema, document, specified_rules, hide_suggestions=True)


def told(errors: list[GraphQLError]) -> list[object]:
    return [error.formatted for error in errors]


@pytest.mark.parametrize(
    ("rule", "text"), [(rule, text) for rule, texts in WRONG.items() for text in texts]
)
def test_a_document_that_breaks_a_rule_is_not_plainly_valid(rule: str, text: str) -> None:
    [broken] = [each for each in specified_rules if each.__name__ == rule]
    assert validate(ZOO, parse(text), [broken]) != []
    assert not PARK[1].is_valid(parse(text))


def test_every_rule_is_broken_by_some_document() -> None:
    assert set(WRONG) == {rule.__name__ for rule in specified_rules}


@pytest.mark.parametrize(
    ("side", "text"), [(PARK, text) for text in RIGHT] + [(EDGE, text) for text in TEXTS]
)
def test_a_usual_document_is_valid_without_asking_graphql_core(side: Side, text: str) -> None:
    schema, plain = side
    assert stock(schema, parse(text)) == []
    assert plain.is_valid(parse(text))


@pytest.mark.parametrize("text", UNUSUAL)
def test_of_an_unusual_document_graphql_core_decides(text: str) -> None:
    assert stock(ZOO, parse(text)) == []
    assert not PARK[1].is_valid(parse(text))
    assert Validator(ZOO, introspection=True, max_errors=20).errors(parse(text)) == []


@pytest.mark.parametrize("text", [text for texts in WRONG.values() for text in texts])
def test_errors_are_those_of_graphql_core(text: str) -> None:
    found = Validator(ZOO, introspection=True, max_errors=20).errors(parse(text))
    assert told(found) == told(stock(ZOO, parse(text)))


@pytest.mark.parametrize("query", [each.query for each in DOCUMENTS], ids=lambda text: text[:30])
def test_nothing_hostile_is_valid_that_graphql_core_refuses(query: str) -> None:
    never_valid_where_stock_refuses(EDGE, query)


@pytest.mark.parametrize("text", ["{ __schema { description } }", '{ __type(name: "a") { name } }'])
def test_introspection_of_a_hidden_schema_is_undecided(text: str) -> None:
    assert Validator(ZOO, introspection=True, max_errors=20).errors(parse(text)) == []
    assert Validator(ZOO, introspection=False, max_errors=20).errors(parse(text)) != []


def chain(number: int, fragment: str) -> str:
    """Returns fragments, each of which spreads the next (+) by its number (#)."""
    links = [fragment.replace("#", str(n)).replace("+", str(n + 1)) for n in range(number)]
    return f"{{ being {{ ...F0 }} }} {' '.join(links)} fragment F{number} on Being {{ name age }}"


LONG = {
    "levels": "{ being { " + "... { " * 120 + "name" + " }" * 122,
    "levels of fragments": chain(
        70, "fragment F# on Being { friend { friend { ... { ...F+ } } } }"
    ),
    "fragments multiplied": chain(40, "fragment F# on Being { ...F+ ...F+ ...F+ }"),
    "fields again": "{ being { " + "name " * 40 + "} }",
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_document_that_would_take_long_is_left_to_graphql_core(text: str) -> None:
    assert not PARK[1].is_valid(parse(text))


def test_a_document_refused_for_its_depth_is_undecided() -> None:
    text = LONG["levels of fragments"]
    assert stock(ZOO, parse(text)) != []
    assert not PARK[1].is_valid(parse(text))


def never_valid_where_stock_refuses(side: Side, text: str) -> None:
    schema, plain = side
    try:
        document = parse(text, max_lexical_tokens=Limits().tokens)
    except GraphQLError:
        return
    if plain.is_valid(document):
        assert stock(schema, document) == []


def names(schema: GraphQLSchema) -> list[str]:
    fields = (getattr(type_, "fields", {}).items() for type_ in schema.type_map.values())
    found = [(name, getattr(field, "args", {})) for each in fields for name, field in each]
    return sorted(
        {*schema.type_map, *(n for n, _ in found), *(a for _, args in found for a in args)}
    )


def pool(schema: GraphQLSchema) -> st.SearchStrategy[str]:
    """Returns a replacement for a token, often one that is common in documents."""
    rest = ["1", '"a"', "null", "true", "CAT", "DOG", "[1]", "{}", "$a", "$b", "a", "name", "id"]
    signs = ["...", "... on", "{", "}", "(", ")", "!", "@skip(if: true)", ": Int = 1", "F", "...F"]
    return st.sampled_from(rest + signs) | st.sampled_from(names(schema))


@st.composite
def changed(draw: st.DrawFn, side: Side, texts: list[str]) -> str:
    """Returns one of the texts with a few tokens replaced, removed, repeated or moved."""
    tokens: list[str] = TOKENS.findall(draw(st.sampled_from(texts)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(tokens)))
        match draw(st.sampled_from(["other", "none", "again", "from"])):
            case "other":
                tokens[at : at + 1] = [draw(pool(side[0]))]
            case "none":
                del tokens[at : at + 1]
            case "again":
                tokens[at:at] = tokens[at : at + draw(st.integers(1, 8))]
            case _:
                tokens[at : at + 1] = [draw(st.sampled_from(tokens or ["a"]))]
    return " ".join(tokens)


SCALARS = {name: st.just(nodes.String("a@example.com")) for name in ("EmailAddress", "Money")}
MANY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@MANY
@given(changed(PARK, [*RIGHT, *UNUSUAL, *(text for texts in WRONG.values() for text in texts)]))
def test_no_change_makes_a_document_valid_that_graphql_core_refuses(text: str) -> None:
    never_valid_where_stock_refuses(PARK, text)


@MANY
@given(changed(EDGE, TEXTS))
def test_no_change_of_an_operation_makes_it_valid_where_graphql_core_refuses(text: str) -> None:
    never_valid_where_stock_refuses(EDGE, text)


@settings(MANY, max_examples=50)
@given(from_schema(SCHEMA, custom_scalars=SCALARS).flatmap(lambda text: changed(EDGE, [text])))
def test_no_operation_made_of_the_schema_is_valid_where_graphql_core_refuses(text: str) -> None:
    never_valid_where_stock_refuses(EDGE, text)
