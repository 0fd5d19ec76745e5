"""Calls of resolvers: the function of a Strawberry field, and the readers of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from graphql import FieldNode, GraphQLField, Undefined

from api.engine.compiler.field_arguments import CannotCompile, Read, argument
from api.engine.compiler.input_objects import Convert, conversion
from api.engine.literals import LiteralIndex, Values
from api.engine.resolver_info import ResolverInfo

if TYPE_CHECKING:
    from strawberry.schema.schema_converter import GraphQLCoreConverter
    from strawberry.types.field import StrawberryField

Resolve = Callable[[Any, ResolverInfo[Any], Values], Any]


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
