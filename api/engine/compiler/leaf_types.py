"""What a scalar or an enum looks like in an answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from inspect import isawaitable
from typing import Any, Final

from graphql import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLScalarType,
    GraphQLString,
    Undefined,
)
from strawberry.types.scalar import identity

from api.engine.compiler.plan import NeedsGraphQLCore

_FITS: Final[dict[object, str]] = {
    GraphQLString: "type({}) is str",
    GraphQLID: "type({}) is str",
    GraphQLBoolean: "type({}) is bool",
    GraphQLInt: f"type({{}}) is int and {GRAPHQL_MIN_INT} <= {{}} <= {GRAPHQL_MAX_INT}",
}

_PLAIN: Final = frozenset({str, int, float, bool, datetime})


def fitting(type_: GraphQLLeafType) -> str | None:
    """The expression, for a value and its name, that is true if the value is what the client is answered."""
    if isinstance(type_, GraphQLScalarType) and type_.coerce_output_value is identity:
        return _FITS[GraphQLString]
    return _FITS.get(type_)


def completer(type_: GraphQLLeafType) -> Callable[[Any], Any]:
    """What makes a value one of the answer, as graphql-core does. Raises whatever the type does, too."""
    if isinstance(type_, GraphQLEnumType) and hasattr(type_, "wrapped_cls"):
        names = {member: type_.coerce_output_value(member) for member in type_.wrapped_cls}
        return names.__getitem__

    def complete(value: Any) -> Any:
        if type(value) not in _PLAIN and _stands_for_another(value):
            raise NeedsGraphQLCore
        found = type_.coerce_output_value(value)
        if found is None or found is Undefined:
            raise NeedsGraphQLCore
        return found

    return complete


def _stands_for_another(value: Any) -> bool:
    """Whether graphql-core would not give the value to its type: scalars make a text of nearly anything."""
    return isinstance(value, Exception) or value is Undefined or isawaitable(value)
