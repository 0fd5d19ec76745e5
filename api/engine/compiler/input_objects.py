"""An argument as Strawberry gives it to a resolver: an input object is one of its class.

Strawberry finds out anew for every request which fields a class has, what they are called and of which type
each is.
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
"""Given a value that was coerced."""


def conversion(
    type_: Any,
    as_graphql: GraphQLInputType,
    converter: GraphQLCoreConverter,
    around: tuple[Any, ...] = (),
) -> Convert | None:
    """How a value of this type becomes the resolver's; None if it is that already.

    `around`: the classes in which it is found.
    """
    if isinstance(type_, StrawberryOptional) and not isinstance(type_, StrawberryMaybe):
        return conversion(type_.of_type, as_graphql, converter, around)
    nullable: Any = get_nullable_type(as_graphql)
    if is_leaf_type(nullable) and type_ is not GlobalID and not isinstance(type_, StrawberryMaybe):
        return None
    if has_object_definition(type_) and type_ not in around:
        definition = type_.__strawberry_definition__
        if definition.is_input and definition.from_input is None:
            return _object(type_, nullable.fields, converter, around)
    return lambda value: convert_argument(value, type_, converter.scalar_registry, converter.config)


def _object(
    class_: Any,
    defined: dict[str, GraphQLInputField],
    converter: GraphQLCoreConverter,
    around: tuple[Any, ...],
) -> Convert:
    definition = class_.__strawberry_definition__
    absent: dict[str, Any] = {}
    fields: list[tuple[str, str, Convert | None]] = []
    for field in definition.fields:
        name = converter.config.name_converter.from_field(field)
        type_ = field.resolve_type(type_definition=definition)
        convert = conversion(type_, defined[name].type, converter, (*around, class_))
        fields.append((name, field.python_name, convert))
        if field.default_value is MISSING and field.default_factory is MISSING:
            absent[field.python_name] = None

    def made(value: Any) -> Any:
        if value is None:
            return None
        given = absent.copy()
        for name, python_name, convert in fields:
            if name in value:
                found = value[name]
                given[python_name] = found if convert is None else convert(found)
        return class_(**given)

    return made
