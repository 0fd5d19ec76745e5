"""Whether what is given to fields and directives is surely what they take, and which variables it needs."""

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

from api.engine.validation.schema_index import ArgumentDefinition, IndexedArguments, place_of
from api.engine.validation.undecided import Undecided, require, require_unique, require_value


class ArgumentValidator:
    """In a document of one operation, which alone defines variables. Raises Unsure."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._used: list[tuple[str, ArgumentDefinition]] = []

    def arguments(self, given: Sequence[ArgumentNode] | None, known: IndexedArguments) -> None:
        """All that are required, none that is unknown, and each once."""
        names = require_unique(argument.name.value for argument in given or ())
        require(known.required <= names)
        for argument in given or ():
            self._value(argument.value, require_value(known.places.get(argument.name.value)))

    def variables(self, defined: Sequence[VariableDefinitionNode]) -> None:
        """Once all arguments are known: exactly those that are used, where they may be used."""
        for definition in defined:
            self._default(definition)
        names = require_unique(definition.variable.name.value for definition in defined)
        require(names == {name for name, _ in self._used})
        definitions = {definition.variable.name.value: definition for definition in defined}
        for name, place in self._used:
            self._usage(definitions[name], place)

    def _default(self, definition: VariableDefinitionNode) -> None:
        type_ = type_from_ast(self._schema, definition.type)
        if definition.directives or not is_input_type(type_):
            raise Undecided
        if definition.default_value is not None:
            self._value(definition.default_value, ArgumentDefinition(type_))

    def _usage(self, definition: VariableDefinitionNode, place: ArgumentDefinition) -> None:
        type_ = require_value(type_from_ast(self._schema, definition.type))
        default = definition.default_value
        require(allowed_variable_usage(self._schema, type_, default, place.type, place.default))

    def _value(self, node: ValueNode, place: ArgumentDefinition) -> None:
        if not isinstance(node, VariableNode):
            validate_input_literal(node, place.type, _refuse, hide_suggestions=True)
        self._inside(node, place)

    def _inside(self, node: ValueNode, place: ArgumentDefinition) -> None:
        """Of a value that is right but for the variables in it, and for fields given twice."""
        match node, get_nullable_type(place.type):
            case VariableNode(), _:
                self._used.append((node.name.value, place))
            case ListValueNode(values=values), GraphQLList(of_type=of):
                for value in values:
                    self._inside(value, ArgumentDefinition(of))
            case ObjectValueNode(), GraphQLInputObjectType() as of:
                self._members(node, of)
            case ((ListValueNode() | ObjectValueNode()), _):
                raise Undecided

    def _members(self, node: ObjectValueNode, of: GraphQLInputObjectType) -> None:
        require_unique(field.name.value for field in node.fields)
        require(not of.is_one_of)
        for field in node.fields:
            self._inside(field.value, place_of(of.fields[field.name.value]))


def _refuse(error: GraphQLError, path: list[str | int]) -> NoReturn:
    raise Undecided
