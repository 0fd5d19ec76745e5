"""Recognises usual valid documents in one pass, for which graphql-core's rules take twenty times as long.

It never accepts a document that a rule would refuse. Invalid documents and unusual valid ones are undecided:
graphql-core decides about them, and words the errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLCompositeType,
    GraphQLSchema,
    InlineFragmentNode,
    NamedTypeNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    assert_valid_schema,
    do_types_overlap,
)

from api.engine.validation.arguments import ArgumentValidator
from api.engine.validation.field_merging import FieldMerging, ResponseNames
from api.engine.validation.schema_index import IndexedField, SchemaIndex
from api.engine.validation.undecided import Undecided, require, require_unique, require_value

_MAX_SELECTION_SETS = 100
"""Selection sets of a document, and so levels of nesting: graphql-core refuses 200."""


class FastValidator:
    """A validator for one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        assert_valid_schema(schema)
        self._index = SchemaIndex(schema)

    def is_valid(self, document: DocumentNode) -> bool:
        """Returns True if the document keeps all rules, with introspection or without; False if undecided."""
        try:
            _Traversal(self._index, document).check()
        except Undecided:
            return False
        return True


class _Traversal:
    """A traversal of the one operation of a document, and of each fragment where it is first spread."""

    def __init__(self, index: SchemaIndex, document: DocumentNode) -> None:
        self._index = index
        self._definitions = document.definitions
        self._fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        self._spread: dict[str, ResponseNames | None] = {}
        """The fields of each fragment that was spread; None while it is being visited."""
        self._arguments = ArgumentValidator(index.schema)
        self._merging = FieldMerging()
        self._selection_sets = 0

    def check(self) -> None:
        operations = [x for x in self._definitions if isinstance(x, OperationDefinitionNode)]
        require(len(operations) == 1 and len(self._fragments) + 1 == len(self._definitions))
        operation = operations[0]
        require(not operation.directives)
        if operation.operation is OperationType.SUBSCRIPTION:
            require(_is_one_field(operation.selection_set))
        root = require_value(self._index.schema.get_root_type(operation.operation))
        self._object(operation.selection_set, root)
        require(len(self._spread) == len(self._fragments))
        self._arguments.variables(operation.variable_definitions or ())

    def _object(self, selected: SelectionSetNode, type_: GraphQLCompositeType) -> ResponseNames:
        """Visits the selection set of an object, and checks that its fields can be merged."""
        names = self._selected(selected, type_)
        self._merging.check(names)
        return names

    def _selected(self, selected: SelectionSetNode, type_: GraphQLCompositeType) -> ResponseNames:
        self._selection_sets += 1
        require(self._selection_sets <= _MAX_SELECTION_SETS)
        names: ResponseNames = {}
        fields = self._index.fields[type_.name]
        for node in selected.selections:
            if node.directives:
                self._directives(node.directives)
            match node:
                case FieldNode():
                    name = (node.alias or node.name).value
                    names.setdefault(name, []).append((self._field(node, fields), node))
                case InlineFragmentNode(type_condition=condition, selection_set=inner):
                    inner_type = type_ if condition is None else self._applied(condition, type_)
                    self._merging.add(names, self._selected(inner, inner_type))
                case FragmentSpreadNode():
                    self._merging.add(names, self._fragment(node, type_))
        return names

    def _field(self, node: FieldNode, fields: Mapping[str, IndexedField]) -> IndexedField:
        field = require_value(fields.get(node.name.value))
        self._arguments.arguments(node.arguments, field.arguments)
        if field.composite is None:
            require(node.selection_set is None)
        else:
            selected = require_value(node.selection_set)
            self._merging.remember(node, self._object(selected, field.composite))
        return field

    def _fragment(self, spread: FragmentSpreadNode, parent: GraphQLCompositeType) -> ResponseNames:
        name = spread.name.value
        node = require_value(self._fragments.get(name))
        require(not node.directives)
        type_ = self._applied(node.type_condition, parent)
        if name not in self._spread:
            self._spread[name] = None
            self._spread[name] = self._selected(node.selection_set, type_)
        return require_value(self._spread[name])

    def _applied(
        self, condition: NamedTypeNode, parent: GraphQLCompositeType
    ) -> GraphQLCompositeType:
        """Returns the type of a type condition, which must be possible for the parent type."""
        type_ = self._index.composite(condition.name.value)
        if type_ is None or not do_types_overlap(self._index.schema, type_, parent):
            raise Undecided
        return type_

    def _directives(self, directives: Sequence[DirectiveNode]) -> None:
        require_unique(directive.name.value for directive in directives)
        for directive in directives:
            name = directive.name.value
            arguments = require_value(self._index.conditional_directives.get(name))
            self._arguments.arguments(directive.arguments, arguments)


def _is_one_field(selected: SelectionSetNode) -> bool:
    match selected.selections:
        case [FieldNode(directives=None | (), name=name)]:
            return not name.value.startswith("__")
    return False
