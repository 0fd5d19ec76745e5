"""The schema is compatible with that of the last release."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_schema, find_breaking_changes

from api.schema.merged import sdl

RELEASED = Path(__file__).with_name("released.graphql").read_text()


def broken(old: GraphQLSchema, new: GraphQLSchema) -> list[str]:
    return [
        f"{change.type.name}: {change.description}" for change in find_breaking_changes(old, new)
    ]


def test_the_schema_breaks_nothing_of_the_last_release() -> None:
    found = broken(build_schema(RELEASED), build_schema(sdl()))
    assert not found, (
        f"The schema breaks clients of the last release: {'; '.join(found)}. Keep the old beside the new,"
        " marked @deprecated, or release a new major version and copy schema.graphql to"
        " tests/api/schema/released.graphql."
    )


@pytest.mark.parametrize(
    "change",
    [
        ("name: String!", "name: String"),
        ("name: String!", "fullName: String!"),
        ("user(id: ID!)", "user(id: ID!, tenant: ID!)"),
        ("{ OPEN DONE }", "{ OPEN }"),
    ],
)
def test_a_break_would_be_found(change: tuple[str, str]) -> None:
    before = "type Query { user(id: ID!): User } type User { name: String! is: Is } enum Is { OPEN DONE }"
    after = before.replace(*change)
    assert after != before
    assert broken(build_schema(before), build_schema(after))
