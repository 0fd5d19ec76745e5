"""The arguments of a field, out of variables and literals, read as graphql-core reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from api.engine.literals import Values

Read = Callable[[Values], Any]
"""Gives a value for an input; Undefined if there is none."""

LiteralIndex = Mapping[int, int]
"""Of the literals that vary: where each begins in the document -> its place among Values."""


class CannotCompile(Exception):
    """A plan does not cover what the operation asks for."""


def argument(
    defined: GraphQLArgument | GraphQLInputField, node: ValueNode | None, places: LiteralIndex
) -> Read:
    """How to read an argument, or a field of an input object. Raises Unplannable."""
    default = coerce_default_value(defined)
    required = is_non_null_type(defined.type) and default is Undefined
    if node is None:
        if required:
            raise CannotCompile
        return lambda _: default
    if isinstance(node, VariableNode):
        return _of_variable(node.name.value, defined.type, default, required=required)
    return _of_literal(defined.type, node, places)


def _of_variable(name: str, type_: GraphQLInputType, default: Any, *, required: bool) -> Read:
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


def _of_literal(type_: GraphQLInputType, node: ValueNode, places: LiteralIndex) -> Read:
    nullable: Any = get_nullable_type(type_)
    if node.loc is not None and node.loc.start in places:
        return _at(places[node.loc.start])
    if isinstance(node, ObjectValueNode) and isinstance(nullable, GraphQLInputObjectType):
        return _of_object(nullable, node, places)
    if isinstance(node, (ListValueNode, ObjectValueNode)) and _varies(node, places):
        raise CannotCompile
    value = coerce_input_literal(node, type_)
    if value is Undefined:
        raise CannotCompile
    if isinstance(value, (list, dict)):  # a resolver may change what it is given
        return lambda _: coerce_input_literal(node, type_)
    return lambda _: value


def _at(place: int) -> Read:
    return lambda values: values[place]


def _of_object(type_: GraphQLInputObjectType, node: ObjectValueNode, places: LiteralIndex) -> Read:
    if type_.is_one_of:
        raise CannotCompile
    given = {field.name.value: field.value for field in node.fields}
    fields = [
        (name, argument(field, given.get(name), places)) for name, field in type_.fields.items()
    ]

    def read(values: Values) -> dict[str, Any]:
        found = ((name, field(values)) for name, field in fields)
        return {name: value for name, value in found if value is not Undefined}

    return read


def _varies(node: ValueNode, places: LiteralIndex) -> bool:
    """Whether there is a variable or a varying literal somewhere in it."""
    found = _Varying(places)
    visit(node, found)
    return found.any


class _Varying(Visitor):
    def __init__(self, places: LiteralIndex) -> None:
        super().__init__()
        self.any = False
        self._places = places

    def enter(self, node: Any, *_: Any) -> None:
        here = node.loc is not None and node.loc.start in self._places
        self.any = self.any or here or isinstance(node, VariableNode)
