"""An index of the fields, arguments and conditional directives of a schema, for the fast validator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
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

_CONDITIONAL = ("include", "skip")
_SELECTIONS = {
    DirectiveLocation.FIELD,
    DirectiveLocation.FRAGMENT_SPREAD,
    DirectiveLocation.INLINE_FRAGMENT,
}


class ArgumentDefinition(NamedTuple):
    """The type and the default of an argument, or of a field of an input object."""

    type: GraphQLInputType
    default: Any = Undefined


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexedArguments:
    """The arguments of a field or a directive."""

    definitions: Mapping[str, ArgumentDefinition]
    required: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexedField:
    """A field of an object or an interface."""

    arguments: IndexedArguments
    type: str
    """The type as it is written in a schema: equal texts are equal types."""
    composite: GraphQLCompositeType | None
    """The type of which its own fields are selected; None for scalars and enums."""


_TYPENAME = IndexedField(
    arguments=IndexedArguments(definitions={}, required=frozenset()), type="String!", composite=None
)


class SchemaIndex:
    """The fields of the composite types by name, and the directives that make selections conditional."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self.fields = _fields_by_type(schema)
        self.conditional_directives = {
            directive.name: _arguments(directive)
            for directive in schema.directives
            if directive.name in _CONDITIONAL and set(directive.locations) >= _SELECTIONS
        }

    def composite(self, name: str) -> GraphQLCompositeType | None:
        """Returns the type of this name, if it has fields."""
        type_ = self.schema.get_type(name)
        return type_ if is_composite_type(type_) else None


def definition_of(argument: GraphQLArgument | GraphQLInputField) -> ArgumentDefinition:
    """Returns the definition of an argument, whose default graphql-core declares in one of two attributes."""
    return ArgumentDefinition(
        argument.type, argument.default_value if argument.default is None else argument.default
    )


@lru_cache(maxsize=4)
def _fields_by_type(schema: GraphQLSchema) -> Mapping[str, Mapping[str, IndexedField]]:
    """Returns the fields of all composite types, which the validators of a schema share."""
    return {
        type_.name: _fields(type_) for type_ in schema.type_map.values() if is_composite_type(type_)
    }


def _fields(type_: GraphQLCompositeType) -> Mapping[str, IndexedField]:
    fields = {} if isinstance(type_, GraphQLUnionType) else type_.fields
    return {name: _field(field) for name, field in fields.items()} | {"__typename": _TYPENAME}


def _field(field: Field) -> IndexedField:
    named = get_named_type(field.type)
    return IndexedField(
        arguments=_arguments(field),
        type=str(field.type),
        composite=named if is_composite_type(named) else None,
    )


def _arguments(element: Field | GraphQLDirective) -> IndexedArguments:
    return IndexedArguments(
        definitions={name: definition_of(argument) for name, argument in element.args.items()},
        required=frozenset(
            name for name, argument in element.args.items() if is_required_argument(argument)
        ),
    )
