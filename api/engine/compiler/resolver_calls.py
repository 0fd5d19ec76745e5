"""How a plan calls a resolver: the function behind Strawberry's field, and where its arguments come from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from graphql import FieldNode, GraphQLField, Undefined

from api.engine.compiler.field_arguments import CannotCompile, LiteralIndex, Read, argument
from api.engine.compiler.input_objects import Convert, conversion
from api.engine.literals import Values
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
    places: LiteralIndex,
) -> Resolve:
    """Calls the resolver of a field with the arguments of this node. Raises Unplannable."""
    declared = definition.base_resolver
    if declared is None or declared.parent_parameter or declared.root_parameter:
        raise CannotCompile
    function: Any = declared.wrapped_func
    reads = _arguments(field, definition, node, converter, places)
    info = declared.info_parameter.name if declared.info_parameter else None
    takes_source = declared.self_parameter is not None

    def resolve(source: Any, asked: ResolverInfo[Any], values: Values) -> Any:
        arguments: dict[str, Any] = {} if info is None else {info: asked}
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
    places: LiteralIndex,
) -> list[tuple[str, Read]]:
    """How each argument is read, by its name in Python."""
    given = {each.name.value: each.value for each in node.arguments or ()}
    reads: list[tuple[str, Read]] = []
    for declared in definition.arguments:
        name = converter.config.name_converter.from_argument(declared)
        read = argument(field.args[name], given.get(name), places)
        convert = conversion(declared.type, field.args[name].type, converter)
        if convert is not None:
            read = partial(_converted, read, convert)
        reads.append((declared.python_name, read))
    return reads


def _converted(read: Read, convert: Convert, values: Values) -> Any:
    value = read(values)
    return value if value is Undefined else convert(value)
