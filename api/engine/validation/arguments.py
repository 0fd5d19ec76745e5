"""Validates the arguments of fields and directives, and the variables that they use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from graphql import (
    ArgumentNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLSchema,
    ListValueNode,
    ObjectValueNode,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    get_nullable_type,
    is_input_type,
    type_from_ast,
    validate_input_literal,
)
from graphql.validation.rules.variables_in_allowed_position import allowed_variable_usage

from api.engine.validation.schema_index import ArgumentDefinition, IndexedArguments, definition_of
from api.engine.validation.undecided import Undecided, require, require_unique, require_value


class ArgumentValidator:
    """Validates a document with one operation, which alone defines variables. Raises Undecided."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._usages: list[tuple[str, ArgumentDefinition]] = []

    def arguments(self, nodes: Sequence[ArgumentNode] | None, index: IndexedArguments) -> None:
        """Requires that all required arguments are there, none is unknown, and none repeated."""
        names = require_unique(node.name.value for node in nodes or ())
        require(index.required <= names)
        for node in nodes or ():
            self._value(node.value, require_value(index.definitions.get(node.name.value)))

    def variables(self, definitions: Sequence[VariableDefinitionNode]) -> None:
        """Requires that the variables used are those defined, each in an allowed position. Call it last."""
        for definition in definitions:
            self._default(definition)
        names = require_unique(definition.variable.name.value for definition in definitions)
        require(names == {name for name, _ in self._usages})
        by_name = {definition.variable.name.value: definition for definition in definitions}
        for name, argument in self._usages:
            self._usage(by_name[name], argument)

    def _default(self, definition: VariableDefinitionNode) -> None:
        type_ = type_from_ast(self._schema, definition.type)
        if definition.directives or not is_input_type(type_):
            raise Undecided
        if definition.default_value is not None:
            self._value(definition.default_value, ArgumentDefinition(type_))

    def _usage(self, definition: VariableDefinitionNode, argument: ArgumentDefinition) -> None:
        type_ = require_value(type_from_ast(self._schema, definition.type))
        default = definition.default_value
        require(
            allowed_variable_usage(self._schema, type_, default, argument.type, argument.default)
        )

    def _value(self, node: ValueNode, argument: ArgumentDefinition) -> None:
        if not isinstance(node, VariableNode):
            validate_input_literal(node, argument.type, _refuse, hide_suggestions=True)
        self._nested(node, argument)

    def _nested(self, node: ValueNode, argument: ArgumentDefinition) -> None:
        """Collects the variables in a valid literal, and requires that no field of it is repeated."""
        match node, get_nullable_type(argument.type):
            case VariableNode(), _:
                self._usages.append((node.name.value, argument))
            case ListValueNode(values=values), GraphQLList(of_type=item_type):
                for value in values:
                    self._nested(value, ArgumentDefinition(item_type))
            case ObjectValueNode(), GraphQLInputObjectType() as type_:
                self._members(node, type_)
            case ((ListValueNode() | ObjectValueNode()), _):
                raise Undecided

    def _members(self, node: ObjectValueNode, type_: GraphQLInputObjectType) -> None:
        require_unique(field.name.value for field in node.fields)
        require(not type_.is_one_of)
        for field in node.fields:
            self._nested(field.value, definition_of(type_.fields[field.name.value]))


def _refuse(error: GraphQLError, path: list[str | int]) -> NoReturn:
    raise Undecided
