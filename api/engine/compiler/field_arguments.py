"""Reads the arguments of a field from variables and literals, as graphql-core does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    ListValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    Visitor,
    coerce_input_literal,
    get_nullable_type,
    is_non_null_type,
    visit,
)
from graphql.utilities.coerce_input_value import coerce_default_value

from api.engine.compiler.plan import NeedsGraphQLCore
from api.engine.literals import LiteralIndex, Values

Read = Callable[[Values], Any]
"""Returns the value of an input; Undefined if it is absent."""


class CannotCompile(Exception):
    """The operation uses a feature that plans do not cover."""


def argument(
    definition: GraphQLArgument | GraphQLInputField,
    node: ValueNode | None,
    literal_index: LiteralIndex,
) -> Read:
    """Returns the reader of an argument, or of a field of an input object. Raises CannotCompile."""
    default = coerce_default_value(definition)
    required = is_non_null_type(definition.type) and default is Undefined
    if node is None:
        if required:
            raise CannotCompile
        return lambda _: default
    if isinstance(node, VariableNode):
        return _variable(node.name.value, definition.type, default, required=required)
    return _literal(definition.type, node, literal_index)


def _variable(name: str, type_: GraphQLInputType, default: Any, *, required: bool) -> Read:
    not_null = is_non_null_type(type_)

    def read(values: Values) -> Any:
        value = values.get(name, Undefined)
        if value is Undefined:
            if required:
                raise NeedsGraphQLCore
            return default
        if value is None and not_null:
            raise NeedsGraphQLCore
        return value

    return read


def _literal(type_: GraphQLInputType, node: ValueNode, literal_index: LiteralIndex) -> Read:
    nullable: Any = get_nullable_type(type_)
    if node.loc is not None and node.loc.start in literal_index:
        return _varying_literal(literal_index[node.loc.start])
    if isinstance(node, ObjectValueNode) and isinstance(nullable, GraphQLInputObjectType):
        return _object(nullable, node, literal_index)
    if isinstance(node, (ListValueNode, ObjectValueNode)) and _varies(node, literal_index):
        raise CannotCompile
    value = coerce_input_literal(node, type_)
    if value is Undefined:
        raise CannotCompile
    if isinstance(value, (list, dict)):  # a resolver may change its argument
        return lambda _: coerce_input_literal(node, type_)
    return lambda _: value


def _varying_literal(index: int) -> Read:
    return lambda values: values[index]


def _object(
    type_: GraphQLInputObjectType, node: ObjectValueNode, literal_index: LiteralIndex
) -> Read:
    if type_.is_one_of:
        raise CannotCompile
    nodes = {field.name.value: field.value for field in node.fields}
    fields = [
        (name, argument(field, nodes.get(name), literal_index))
        for name, field in type_.fields.items()
    ]

    def read(values: Values) -> dict[str, Any]:
        items = ((name, read_field(values)) for name, read_field in fields)
        return {name: value for name, value in items if value is not Undefined}

    return read


def _varies(node: ValueNode, literal_index: LiteralIndex) -> bool:
    """Returns whether the literal contains a variable or a varying literal."""
    visitor = _VaryingVisitor(literal_index)
    visit(node, visitor)
    return visitor.found


class _VaryingVisitor(Visitor):
    def __init__(self, literal_index: LiteralIndex) -> None:
        super().__init__()
        self.found = False
        self._literal_index = literal_index

    def enter(self, node: Any, *_: Any) -> None:
        varies = node.loc is not None and node.loc.start in self._literal_index
        self.found = self.found or varies or isinstance(node, VariableNode)
