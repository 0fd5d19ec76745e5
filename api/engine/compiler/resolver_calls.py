"""Calls of resolvers: the function of a Strawberry field, and its arguments, converted as Strawberry does.

Strawberry determines the fields of an input class, their names and their types for every request; this does
it once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from functools import partial
from typing import Any

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputType,
    Undefined,
    get_nullable_type,
    is_leaf_type,
)
from strawberry.relay import GlobalID
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_argument
from strawberry.types.base import StrawberryMaybe, StrawberryOptional, has_object_definition
from strawberry.types.field import StrawberryField

from api.engine.compiler.field_arguments import CannotCompile, Read, argument
from api.engine.literals import LiteralIndex, Values
from api.engine.resolver_info import ResolverInfo

Resolve = Callable[[Any, ResolverInfo[Any], Values], Any]

Convert = Callable[[Any], Any]
"""Converts a coerced value."""


def resolver(
    field: GraphQLField,
    definition: StrawberryField,
    node: FieldNode,
    converter: GraphQLCoreConverter,
    literal_index: LiteralIndex,
) -> Resolve:
    """Returns a function that calls a field's resolver with the node's arguments. Raises CannotCompile."""
    strawberry_resolver = definition.base_resolver
    if (
        strawberry_resolver is None
        or strawberry_resolver.parent_parameter
        or strawberry_resolver.root_parameter
    ):
        raise CannotCompile
    function: Any = strawberry_resolver.wrapped_func
    reads = _arguments(field, definition, node, converter, literal_index)
    info_parameter = strawberry_resolver.info_parameter
    info_name = info_parameter.name if info_parameter else None
    takes_source = strawberry_resolver.self_parameter is not None

    def resolve(source: Any, info: ResolverInfo[Any], values: Values) -> Any:
        arguments: dict[str, Any] = {} if info_name is None else {info_name: info}
        for name, read in reads:
            value = read(values)
            if value is not Undefined:
                arguments[name] = value
        return function(source, **arguments) if takes_source else function(**arguments)

    return resolve


def _arguments(
    field: GraphQLField,
    definition: StrawberryField,
    node: FieldNode,
    converter: GraphQLCoreConverter,
    literal_index: LiteralIndex,
) -> list[tuple[str, Read]]:
    """Returns the reader of each argument, with the argument's name in Python."""
    nodes = {argument.name.value: argument.value for argument in node.arguments or ()}
    reads: list[tuple[str, Read]] = []
    for declared in definition.arguments:
        name = converter.config.name_converter.from_argument(declared)
        read = argument(field.args[name], nodes.get(name), literal_index)
        convert = conversion(declared.type, field.args[name].type, converter)
        if convert is not None:
            read = partial(_converted, read, convert)
        reads.append((declared.python_name, read))
    return reads


def _converted(read: Read, convert: Convert, values: Values) -> Any:
    value = read(values)
    return value if value is Undefined else convert(value)


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
