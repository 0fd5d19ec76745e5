"""The limit on introspection: counts the fields that a document would read of the schema, before execution.

The response grows with the product of the selections: with fragments and aliases, a document of 1 KB would
block the event loop for seconds. Tools request the whole schema, so the limit is twice that.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    get_introspection_query,
    get_named_type,
    get_nullable_type,
    introspection_types,
    is_list_type,
    parse,
)

_ALLOWANCE: Final = 2
"""Times the fields of _TOOL_QUERY."""

_TOOL_QUERY: Final = get_introspection_query(
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
    one_of=True,
)

SchemaPart = tuple[str, Any]
"""The introspection type of a part of a schema, and the object on which graphql-core resolves its fields."""


class Introspection:
    """Traverses a schema as the execution would, but only counts, and stops above the limit."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._info = SimpleNamespace(schema=schema)
        self._children: dict[tuple[int, str], list[SchemaPart]] = {}

    def errors(self, document: DocumentNode) -> Iterator[GraphQLError]:
        """Yields an error if a valid document reads more than the limit."""
        selections = _Selections(document)
        roots = [node for node in selections.roots() if node.name.value in ("__schema", "__type")]
        if roots and self._fields(roots, selections, self._limit) > self._limit:
            yield GraphQLError(
                f"The document requests more than {self._limit} fields of the schema, {_ALLOWANCE} times"
                " the number that tools request: request less.",
                roots[0],
            )

    @cached_property
    def _limit(self) -> int:
        selections = _Selections(parse(_TOOL_QUERY))
        return _ALLOWANCE * self._fields(selections.roots(), selections)

    def _fields(
        self, roots: list[FieldNode], selections: _Selections, limit: float = float("inf")
    ) -> int:
        """Returns the number of fields in the response; above `limit`, it stops counting."""
        fields = 0
        pending = [(part, node.selection_set) for node in roots for part in self._root_parts(node)]
        while pending and fields <= limit:
            part, selected = pending.pop()
            number, composite = selections.fields_of(selected)
            fields += number
            for node in composite:
                pending += [(child, node.selection_set) for child in self._child_parts(part, node)]
        return fields

    def _root_parts(self, node: FieldNode) -> list[SchemaPart]:
        """Returns the parts under __schema or __type; all types if the name is a variable."""
        if node.name.value == "__schema":
            return [("__Schema", self._schema)]
        types = self._schema.type_map
        match node.arguments:
            case [argument] if isinstance(argument.value, StringValueNode):
                name = argument.value.value
                return [("__Type", types[name])] if name in types else []
        return [("__Type", type_) for type_ in types.values()]

    def _child_parts(self, part: SchemaPart, node: FieldNode) -> list[SchemaPart]:
        """Returns the cached parts under a field. The cache keeps them alive, so ids are never reused."""
        name, source = part
        key = (id(source), node.name.value)
        if key not in self._children:
            type_ = introspection_types[name]
            assert isinstance(type_, GraphQLObjectType)
            field = type_.fields[node.name.value]
            assert field.resolve is not None
            arguments = dict.fromkeys(field.args, True)  # includeDeprecated: the larger response
            value = field.resolve(source, self._info, **arguments)
            is_list = is_list_type(get_nullable_type(field.type))
            values = [] if value is None else value if is_list else [value]
            type_name = get_named_type(field.type).name
            self._children[key] = [(type_name, child) for child in values]
        return self._children[key]


class _Selections:
    """The fields of each selection set of a document, with those of the fragments spread in it."""

    def __init__(self, document: DocumentNode) -> None:
        self._operations: list[SelectionSetNode] = []
        self._fragments: dict[str, SelectionSetNode] = {}
        self._cached: dict[int, tuple[int, list[FieldNode]]] = {}
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode):
                self._operations.append(node.selection_set)
            elif isinstance(node, FragmentDefinitionNode):
                self._fragments[node.name.value] = node.selection_set

    def roots(self) -> list[FieldNode]:
        """Returns the root fields of all operations that have fields themselves."""
        return [node for selected in self._operations for node in self.fields_of(selected)[1]]

    def fields_of(self, selected: SelectionSetNode | None) -> tuple[int, list[FieldNode]]:
        """Returns the number of fields, and those that have fields themselves."""
        key = id(selected)
        if key not in self._cached:
            fields = list(self._flatten(selected))
            self._cached[key] = len(fields), [node for node in fields if node.selection_set]
        return self._cached[key]

    def _flatten(self, selected: SelectionSetNode | None) -> Iterator[FieldNode]:
        spread: set[str] = set()
        pending = [selected]
        while pending:
            set_ = pending.pop()
            for node in set_.selections if set_ else ():
                if isinstance(node, FieldNode):
                    yield node
                elif isinstance(node, FragmentSpreadNode):
                    if node.name.value not in spread:
                        spread.add(node.name.value)
                        pending.append(self._fragments[node.name.value])
                elif isinstance(node, InlineFragmentNode):
                    pending.append(node.selection_set)
