"""What may be selected and given in a schema, looked up once, for validity/plain.py to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphql import (
    DirectiveLocation,
    GraphQLArgument,
    GraphQLCompositeType,
    GraphQLDirective,
    GraphQLInputField,
    GraphQLInputType,
    GraphQLSchema,
    GraphQLUnionType,
    Undefined,
    get_named_type,
    is_composite_type,
    is_required_argument,
)
from graphql import GraphQLField as Field

_CONDITIONS = ("include", "skip")
_SELECTIONS = {
    DirectiveLocation.FIELD,
    DirectiveLocation.FRAGMENT_SPREAD,
    DirectiveLocation.INLINE_FRAGMENT,
}


class ArgumentDefinition(NamedTuple):
    """Where a value stands, and what stands there without one."""

    type: GraphQLInputType
    default: Any = Undefined


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexedArguments:
    """Of a field or a directive."""

    places: Mapping[str, ArgumentDefinition]
    required: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexedField:
    """Of an object or an interface."""

    arguments: IndexedArguments
    type: str
    """As it is written in a schema: the same text is the same type."""
    within: GraphQLCompositeType | None
    """What its own fields are selected of; nothing has none."""


_TYPENAME = IndexedField(
    arguments=IndexedArguments(places={}, required=frozenset()), type="String!", within=None
)


class SchemaIndex:
    """The fields of the composite types by name, and the directives that make selections conditional."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self.fields = {
            type_.name: _fields(type_)
            for type_ in schema.type_map.values()
            if is_composite_type(type_)
        }
        self.conditions = {
            directive.name: _arguments(directive)
            for directive in schema.directives
            if directive.name in _CONDITIONS and set(directive.locations) >= _SELECTIONS
        }

    def composite(self, name: str) -> GraphQLCompositeType | None:
        """The type of this name, if it has fields."""
        type_ = self.schema.get_type(name)
        return type_ if is_composite_type(type_) else None


def place_of(given: GraphQLArgument | GraphQLInputField) -> ArgumentDefinition:
    """Of a value that is given by name; its default may be declared in two ways."""
    return ArgumentDefinition(
        given.type, given.default_value if given.default is None else given.default
    )


def _fields(type_: GraphQLCompositeType) -> Mapping[str, IndexedField]:
    declared = {} if isinstance(type_, GraphQLUnionType) else type_.fields
    return {name: _field(field) for name, field in declared.items()} | {"__typename": _TYPENAME}


def _field(field: Field) -> IndexedField:
    named = get_named_type(field.type)
    return IndexedField(
        arguments=_arguments(field),
        type=str(field.type),
        within=named if is_composite_type(named) else None,
    )


def _arguments(of: Field | GraphQLDirective) -> IndexedArguments:
    return IndexedArguments(
        places={name: place_of(argument) for name, argument in of.args.items()},
        required=frozenset(name for name, given in of.args.items() if is_required_argument(given)),
    )
