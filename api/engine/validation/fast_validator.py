"""Finds in one pass that a usual document is valid, for which graphql-core's rules take twenty times as long.

It never says so of a document that a rule would refuse. Of whatever is wrong, and of whatever is right in
a way that few use, it is not sure: then graphql-core decides, and says what is wrong.
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

_SETS = 100
"""Selection sets of a document: there are as many levels at most, and graphql-core refuses 200."""


class FastValidator:
    """Knows a schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        assert_valid_schema(schema)
        self._known = SchemaIndex(schema)

    def valid(self, document: DocumentNode) -> bool:
        """Whether all rules are surely kept, with introspection or without."""
        try:
            _Walk(self._known, document).check()
        except Undecided:
            return False
        return True


class _Walk:
    """Through the one operation of a document, and through each fragment where it is first spread."""

    def __init__(self, known: SchemaIndex, document: DocumentNode) -> None:
        self._known = known
        self._definitions = document.definitions
        self._fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        self._spread: dict[str, ResponseNames | None] = {}
        """What is answered from a fragment; nothing yet while it is looked into."""
        self._given = ArgumentValidator(known.schema)
        self._merging = FieldMerging()
        self._sets = 0

    def check(self) -> None:
        operations = [x for x in self._definitions if isinstance(x, OperationDefinitionNode)]
        require(len(operations) == 1 and len(self._fragments) + 1 == len(self._definitions))
        operation = operations[0]
        require(not operation.directives)
        if operation.operation is OperationType.SUBSCRIPTION:
            require(_is_one_field(operation.selection_set))
        root = require_value(self._known.schema.get_root_type(operation.operation))
        self._whole(operation.selection_set, root)
        require(len(self._spread) == len(self._fragments))
        self._given.variables(operation.variable_definitions or ())

    def _whole(self, chosen: SelectionSetNode, parent: GraphQLCompositeType) -> ResponseNames:
        """A selection set that is answered as one object."""
        answered = self._selected(chosen, parent)
        self._merging.check(answered)
        return answered

    def _selected(self, chosen: SelectionSetNode, parent: GraphQLCompositeType) -> ResponseNames:
        self._sets += 1
        require(self._sets <= _SETS)
        answered: ResponseNames = {}
        fields = self._known.fields[parent.name]
        for node in chosen.selections:
            if node.directives:
                self._conditions(node.directives)
            match node:
                case FieldNode():
                    name = (node.alias or node.name).value
                    answered.setdefault(name, []).append((self._field(node, fields), node))
                case InlineFragmentNode(type_condition=condition, selection_set=inner):
                    of = parent if condition is None else self._applied(condition, parent)
                    self._merging.add(answered, self._selected(inner, of))
                case FragmentSpreadNode():
                    self._merging.add(answered, self._fragment(node, parent))
        return answered

    def _field(self, node: FieldNode, fields: Mapping[str, IndexedField]) -> IndexedField:
        field = require_value(fields.get(node.name.value))
        self._given.arguments(node.arguments, field.arguments)
        if field.within is None:
            require(node.selection_set is None)
        else:
            self._merging.keep(node, self._whole(require_value(node.selection_set), field.within))
        return field

    def _fragment(self, spread: FragmentSpreadNode, parent: GraphQLCompositeType) -> ResponseNames:
        name = spread.name.value
        node = require_value(self._fragments.get(name))
        require(not node.directives)
        of = self._applied(node.type_condition, parent)
        if name not in self._spread:
            self._spread[name] = None
            self._spread[name] = self._selected(node.selection_set, of)
        return require_value(self._spread[name])

    def _applied(self, condition: NamedTypeNode, to: GraphQLCompositeType) -> GraphQLCompositeType:
        of = self._known.composite(condition.name.value)
        if of is None or not do_types_overlap(self._known.schema, of, to):
            raise Undecided
        return of

    def _conditions(self, directives: Sequence[DirectiveNode]) -> None:
        require_unique(directive.name.value for directive in directives)
        for directive in directives:
            known = require_value(self._known.conditions.get(directive.name.value))
            self._given.arguments(directive.arguments, known)


def _is_one_field(chosen: SelectionSetNode) -> bool:
    match chosen.selections:
        case [FieldNode(directives=None | (), name=name)]:
            return not name.value.startswith("__")
    return False
