"""Converts coerced arguments as Strawberry does: input objects become instances of their classes.

Strawberry determines the fields of a class, their names and their types for every request; this does it once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from typing import TYPE_CHECKING, Any

from graphql import GraphQLInputField, GraphQLInputType, get_nullable_type, is_leaf_type
from strawberry.relay import GlobalID
from strawberry.types.arguments import convert_argument
from strawberry.types.base import StrawberryMaybe, StrawberryOptional, has_object_definition

if TYPE_CHECKING:
    from strawberry.schema.schema_converter import GraphQLCoreConverter

Convert = Callable[[Any], Any]
"""Converts a coerced value."""


def conversion(
    type_: Any,
    as_graphql: GraphQLInputType,
    converter: GraphQLCoreConverter,
    outer: tuple[Any, ...] = (),
) -> Convert | None:
    """Returns the converter of values of a type; None if they need no conversion.

    `outer` are the classes that the type is nested in.
    """
    if isinstance(type_, StrawberryOptional) and not isinstance(type_, StrawberryMaybe):
        return conversion(type_.of_type, as_graphql, converter, outer)
    nullable: Any = get_nullable_type(as_graphql)
    if is_leaf_type(nullable) and type_ is not GlobalID and not isinstance(type_, StrawberryMaybe):
        return None
    if has_object_definition(type_) and type_ not in outer:
        definition = type_.__strawberry_definition__
        if definition.is_input and definition.from_input is None:
            return _object(type_, nullable.fields, converter, outer)
    return lambda value: convert_argument(value, type_, converter.scalar_registry, converter.config)


def _object(
    class_: Any,
    graphql_fields: dict[str, GraphQLInputField],
    converter: GraphQLCoreConverter,
    outer: tuple[Any, ...],
) -> Convert:
    definition = class_.__strawberry_definition__
    optional: dict[str, Any] = {}
    fields: list[tuple[str, str, Convert | None]] = []
    for field in definition.fields:
        name = converter.config.name_converter.from_field(field)
        type_ = field.resolve_type(type_definition=definition)
        convert = conversion(type_, graphql_fields[name].type, converter, (*outer, class_))
        fields.append((name, field.python_name, convert))
        if field.default_value is MISSING and field.default_factory is MISSING:
            optional[field.python_name] = None

    def instance(value: Any) -> Any:
        if value is None:
            return None
        arguments = optional.copy()
        for name, python_name, convert in fields:
            if name in value:
                item = value[name]
                arguments[python_name] = item if convert is None else convert(item)
        return class_(**arguments)

    return instance
