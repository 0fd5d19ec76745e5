"""The schema is a promise: its text is committed, so every change is seen."""

from __future__ import annotations

from pathlib import Path

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    is_introspection_type,
    is_specified_scalar_type,
)

from api.schema.merged import SCHEMA, sdl

KEPT = Path(__file__).parents[3] / "schema.graphql"


def test_schema_graphql_is_what_the_code_declares() -> None:
    assert KEPT.read_text() == sdl(), (
        "The schema has changed: run `tandem schema > schema.graphql` and commit the difference."
    )


def ours() -> list[GraphQLNamedType]:
    return [
        type_
        for type_ in SCHEMA.type_map.values()
        if not is_introspection_type(type_) and not is_specified_scalar_type(type_)
    ]


def undescribed(type_: GraphQLNamedType) -> list[str]:
    """Returns the parts of a type that have no description."""
    parts: dict[str, str | None] = {type_.name: type_.description}
    match type_:
        case GraphQLObjectType() | GraphQLInterfaceType():
            for name, field in type_.fields.items():
                parts[f"{type_}.{name}"] = field.description
                parts |= {f"{type_}.{name}({a})": arg.description for a, arg in field.args.items()}
        case GraphQLInputObjectType():
            parts |= {f"{type_}.{name}": field.description for name, field in type_.fields.items()}
        case GraphQLEnumType():
            parts |= {f"{type_}.{name}": value.description for name, value in type_.values.items()}
    return [name for name, description in parts.items() if not description]


def test_everything_in_the_schema_is_described() -> None:
    assert [name for type_ in ours() for name in undescribed(type_)] == []


def test_every_command_has_a_nullable_payload_and_one_input() -> None:
    assert SCHEMA.mutation_type is not None
    for name, field in SCHEMA.mutation_type.fields.items():
        payload, given = (
            name[0].upper() + name[1:] + "Payload",
            name[0].upper() + name[1:] + "Input",
        )
        assert str(field.type) == payload
        assert {name: str(arg.type) for name, arg in field.args.items()} == {"input": f"{given}!"}
        assert isinstance(field.type, GraphQLObjectType)
        assert set(field.type.fields) == {"id", "version", "user", "errors"}


def test_every_refusal_is_a_command_error() -> None:
    interface = SCHEMA.get_type("CommandError")
    unions = [type_ for type_ in ours() if isinstance(type_, GraphQLUnionType)]
    assert SCHEMA.mutation_type is not None
    assert len(unions) == len(SCHEMA.mutation_type.fields)
    for union in unions:
        names = {member.name for member in union.types}
        assert {"InvalidInput", "IdempotencyKeyReused"} <= names
        assert all(interface in member.interfaces for member in union.types)
