"""Coerces the variables of a request as graphql-core does, with types and defaults looked up once.

A value that is not plainly of its type raises NeedsGraphQLCore: graphql-core coerces it, or words the error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from graphql import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    GraphQLBoolean,
    GraphQLID,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLSchema,
    GraphQLString,
    OperationDefinitionNode,
    Undefined,
    coerce_input_literal,
    coerce_input_value,
    get_nullable_type,
    is_input_object_type,
    is_leaf_type,
    is_non_null_type,
    is_required_input_field,
    type_from_ast,
)
from graphql.execution.values import input_is_nested_too_deeply
from graphql.utilities.coerce_input_value import coerce_default_value

from api.engine.compiler.plan import NeedsGraphQLCore

Coerce = Callable[[Any], Any]


class Variables:
    """The variable definitions of an operation."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._definitions: list[tuple[str, Coerce, Any, bool]] = []
        for node in operation.variable_definitions or ():
            type_: Any = type_from_ast(schema, node.type)
            default = (
                Undefined
                if node.default_value is None
                else coerce_input_literal(node.default_value, type_)
            )
            required = is_non_null_type(type_) and default is Undefined
            coerce = _fast(type_, ()) or _with_graphql_core(type_)
            self._definitions.append((node.variable.name.value, coerce, default, required))

    def coerce(self, variables: Mapping[str, Any]) -> dict[Any, Any]:
        """Returns the coerced variables of a request. Raises NeedsGraphQLCore."""
        values: dict[Any, Any] = {}
        for name, coerce, default, required in self._definitions:
            value = variables.get(name, Undefined)
            if value is not Undefined:
                values[name] = coerce(value)
            elif required:
                raise NeedsGraphQLCore
            elif default is not Undefined:
                values[name] = default
        return values


def _fast(type_: GraphQLInputType, outer: tuple[GraphQLInputType, ...]) -> Coerce | None:
    """Returns None for types left to graphql-core: lists, @oneOf, and recursive objects."""
    nullable: Any = get_nullable_type(type_)
    coerce = _BUILT_IN.get(nullable)
    if coerce is None and is_leaf_type(nullable):
        coerce = _leaf(nullable)
    elif coerce is None and is_input_object_type(nullable) and nullable not in outer:
        coerce = _object(nullable, (*outer, nullable))
    if coerce is None or is_non_null_type(type_):
        return coerce
    return lambda value: None if value is None else coerce(value)


def _leaf(type_: GraphQLLeafType) -> Coerce:
    def coerce(value: Any) -> Any:
        if value is None:
            raise NeedsGraphQLCore
        try:
            coerced = type_.coerce_input_value(value)
        except Exception as error:
            raise NeedsGraphQLCore from error
        if coerced is Undefined:
            raise NeedsGraphQLCore
        return coerced

    return coerce


def _object(type_: GraphQLInputObjectType, outer: tuple[GraphQLInputType, ...]) -> Coerce | None:
    fields: list[tuple[str, Coerce, Any, bool]] = []
    for name, field in type_.fields.items():
        coerce_field, default = _fast(field.type, outer), coerce_default_value(field)
        if coerce_field is None or isinstance(default, (list, dict)) or type_.is_one_of:
            return None
        fields.append((name, coerce_field, default, is_required_input_field(field)))

    def coerce(value: Any) -> Any:
        if type(value) is not dict:
            raise NeedsGraphQLCore
        coerced: dict[str, Any] = {}
        absent = 0
        for name, coerce_field, default, required in fields:
            if name in value:
                coerced[name] = coerce_field(value[name])
                continue
            if required:
                raise NeedsGraphQLCore
            absent += 1
            if default is not Undefined:
                coerced[name] = default
        if len(value) + absent != len(fields):  # there are unknown fields
            raise NeedsGraphQLCore
        return coerced

    return coerce


def _with_graphql_core(type_: GraphQLInputType) -> Coerce:
    def coerce(value: Any) -> Any:
        if input_is_nested_too_deeply(value, type_):
            raise NeedsGraphQLCore
        coerced = coerce_input_value(value, type_)
        if coerced is Undefined:
            raise NeedsGraphQLCore
        return coerced

    return coerce


def _exactly(class_: type) -> Coerce:
    def coerce(value: Any) -> Any:
        if type(value) is class_:
            return value
        raise NeedsGraphQLCore

    return coerce


def _int(value: Any) -> Any:
    if type(value) is int and GRAPHQL_MIN_INT <= value <= GRAPHQL_MAX_INT:
        return value
    raise NeedsGraphQLCore


_BUILT_IN: Final[dict[object, Coerce]] = {
    GraphQLString: _exactly(str),
    GraphQLID: _exactly(str),
    GraphQLInt: _int,
    GraphQLBoolean: _exactly(bool),
}
