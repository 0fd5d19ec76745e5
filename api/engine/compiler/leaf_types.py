"""Completes scalars and enums: converts a resolver's value to one of the response."""

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

_CHECKS: Final[dict[object, str]] = {
    GraphQLString: "type({}) is str",
    GraphQLID: "type({}) is str",
    GraphQLBoolean: "type({}) is bool",
    GraphQLInt: f"type({{}}) is int and {GRAPHQL_MIN_INT} <= {{}} <= {GRAPHQL_MAX_INT}",
}

_PLAIN: Final = frozenset({str, int, float, bool, datetime})


def check_expression(type_: GraphQLLeafType) -> str | None:
    """Returns the expression, for a value and its name, that is true if the value needs no conversion."""
    if isinstance(type_, GraphQLScalarType) and type_.coerce_output_value is identity:
        return _CHECKS[GraphQLString]
    return _CHECKS.get(type_)


def completer(type_: GraphQLLeafType) -> Callable[[Any], Any]:
    """Returns the function that converts a value as graphql-core does, with the exceptions of the type."""
    if isinstance(type_, GraphQLEnumType) and hasattr(type_, "wrapped_cls"):
        values = [*type_.wrapped_cls, *(value.value for value in type_.values.values())]
        return {value: type_.coerce_output_value(value) for value in values}.__getitem__

    def complete(value: Any) -> Any:
        if type(value) not in _PLAIN and _is_special(value):
            raise NeedsGraphQLCore
        coerced = type_.coerce_output_value(value)
        if coerced is None or coerced is Undefined:
            raise NeedsGraphQLCore
        return coerced

    return complete


def _is_special(value: Any) -> bool:
    """Returns whether graphql-core handles the value itself; a type would turn it into a string."""
    return isinstance(value, Exception) or value is Undefined or isawaitable(value)
