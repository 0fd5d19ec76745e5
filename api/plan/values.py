"""What goes into a resolver: the variables of a request, and the arguments of a field out of them.

Both are read as graphql-core reads them, only that which types and defaults there are is looked up once. What
is not simply of its type is Irregular: graphql-core decides what it means, and tells what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from graphql import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInt,
    GraphQLSchema,
    GraphQLString,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    Undefined,
    ValueNode,
    VariableNode,
    Visitor,
    coerce_input_literal,
    coerce_input_value,
    get_nullable_type,
    is_non_null_type,
    type_from_ast,
    visit,
)
from graphql.execution.values import input_is_nested_too_deeply
from graphql.utilities.coerce_input_value import coerce_default_value

from api.plan.plan import Irregular, Values

Read = Callable[[Values], Any]
"""Gives a value for an input; Undefined if there is none."""

Places = Mapping[int, int]
"""Of the literals that vary: where each begins in the document -> its place among Values."""

Coerce = Callable[[Any], Any]


class Unplannable(Exception):
    """A plan does not cover what the operation asks for."""


class Variables:
    """The variables that an operation defines."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._defined: list[tuple[str, Coerce, Any, bool]] = []
        for node in operation.variable_definitions or ():
            type_: Any = type_from_ast(schema, node.type)
            default = (
                Undefined
                if node.default_value is None
                else coerce_input_literal(node.default_value, type_)
            )
            required = is_non_null_type(type_) and default is Undefined
            self._defined.append((node.variable.name.value, _coercer(type_), default, required))

    def coerced(self, given: Mapping[str, Any]) -> dict[Any, Any]:
        """The variables for one request. Raises Irregular."""
        values: dict[Any, Any] = {}
        for name, coerce, default, required in self._defined:
            value = given.get(name, Undefined)
            if value is not Undefined:
                values[name] = coerce(value)
            elif required:
                raise Irregular
            elif default is not Undefined:
                values[name] = default
        return values


def argument(
    defined: GraphQLArgument | GraphQLInputField, node: ValueNode | None, places: Places
) -> Read:
    """How to read an argument, or a field of an input object. Raises Unplannable."""
    default = coerce_default_value(defined)
    required = is_non_null_type(defined.type) and default is Undefined
    if node is None:
        if required:
            raise Unplannable
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
                raise Irregular
            return default
        if value is None and not_null:
            raise Irregular
        return value

    return read


def _of_literal(type_: GraphQLInputType, node: ValueNode, places: Places) -> Read:
    nullable: Any = get_nullable_type(type_)
    if node.loc is not None and node.loc.start in places:
        return _at(places[node.loc.start])
    if isinstance(node, ObjectValueNode) and isinstance(nullable, GraphQLInputObjectType):
        return _of_object(nullable, node, places)
    if isinstance(node, (ListValueNode, ObjectValueNode)) and _varies(node, places):
        raise Unplannable
    value = coerce_input_literal(node, type_)
    if value is Undefined:
        raise Unplannable
    if isinstance(value, (list, dict)):  # a resolver may change what it is given
        return lambda _: coerce_input_literal(node, type_)
    return lambda _: value


def _at(place: int) -> Read:
    return lambda values: values[place]


def _of_object(type_: GraphQLInputObjectType, node: ObjectValueNode, places: Places) -> Read:
    if type_.is_one_of:
        raise Unplannable
    given = {field.name.value: field.value for field in node.fields}
    fields = [
        (name, argument(field, given.get(name), places)) for name, field in type_.fields.items()
    ]

    def read(values: Values) -> dict[str, Any]:
        found = ((name, field(values)) for name, field in fields)
        return {name: value for name, value in found if value is not Undefined}

    return read


def _varies(node: ValueNode, places: Places) -> bool:
    """Whether there is a variable or a varying literal somewhere in it."""
    found = _Varying(places)
    visit(node, found)
    return found.any


class _Varying(Visitor):
    def __init__(self, places: Places) -> None:
        super().__init__()
        self.any = False
        self._places = places

    def enter(self, node: Any, *_: Any) -> None:
        here = node.loc is not None and node.loc.start in self._places
        self.any = self.any or here or isinstance(node, VariableNode)


def _coercer(type_: GraphQLInputType) -> Coerce:
    """What makes a value of the request one of this type, or raises Irregular."""
    simple = _SIMPLE.get(get_nullable_type(type_), _by_core(type_))
    if is_non_null_type(type_):
        return simple
    return lambda value: None if value is None else simple(value)


def _by_core(type_: GraphQLInputType) -> Coerce:
    def coerce(value: Any) -> Any:
        if input_is_nested_too_deeply(value, type_):
            raise Irregular
        coerced = coerce_input_value(value, type_)
        if coerced is Undefined:
            raise Irregular
        return coerced

    return coerce


def _exactly(kind: type) -> Coerce:
    def coerce(value: Any) -> Any:
        if type(value) is kind:
            return value
        raise Irregular

    return coerce


def _whole(value: Any) -> Any:
    if type(value) is int and GRAPHQL_MIN_INT <= value <= GRAPHQL_MAX_INT:
        return value
    raise Irregular


_SIMPLE: Final[dict[object, Coerce]] = {
    GraphQLString: _exactly(str),
    GraphQLID: _exactly(str),
    GraphQLInt: _whole,
    GraphQLBoolean: _exactly(bool),
}
