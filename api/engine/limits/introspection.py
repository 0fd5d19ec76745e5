"""How much of the schema a document asks for, found by going through the schema before it is executed.

The answer grows with the product of what is selected: by fragments and aliases, a document of 1 KB
would keep the event loop for seconds. Tools ask for the whole schema; nobody needs more than twice that.
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

_TIMES: Final = 2
_TOOLS: Final = get_introspection_query(
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
    one_of=True,
)

Part = tuple[str, Any]
"""Of a schema: the introspection type it has, and what graphql-core resolves that type's fields on."""


class Introspection:
    """Goes through a schema as the execution would, but counts only, and stops at too much."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._info = SimpleNamespace(schema=schema)
        self._known: dict[tuple[int, str], list[Part]] = {}

    def errors(self, document: DocumentNode) -> Iterator[GraphQLError]:
        """Of a valid document, if it asks for too much."""
        chosen = _Chosen(document)
        asked = [node for node in chosen.at_the_top() if node.name.value in ("__schema", "__type")]
        if asked and self._fields(asked, chosen, self._most) > self._most:
            yield GraphQLError(
                f"The document asks for more than {self._most} fields of the schema, {_TIMES} times"
                " what tools ask for: ask for less at once.",
                asked[0],
            )

    @cached_property
    def _most(self) -> int:
        chosen = _Chosen(parse(_TOOLS))
        return _TIMES * self._fields(chosen.at_the_top(), chosen)

    def _fields(self, asked: list[FieldNode], chosen: _Chosen, most: float = float("inf")) -> int:
        """How many the answer has. If there are more than `most`, it is not found out how many more."""
        fields = 0
        left = [(part, node.selection_set) for node in asked for part in self._begin(node)]
        while left and fields <= most:
            part, selected = left.pop()
            number, inner = chosen.of(selected)
            fields += number
            for node in inner:
                left += [(found, node.selection_set) for found in self._below(part, node)]
        return fields

    def _begin(self, node: FieldNode) -> list[Part]:
        """Under __schema or __type; a name that is a variable may be that of any type."""
        if node.name.value == "__schema":
            return [("__Schema", self._schema)]
        types = self._schema.type_map
        match node.arguments:
            case [argument] if isinstance(argument.value, StringValueNode):
                name = argument.value.value
                return [("__Type", types[name])] if name in types else []
        return [("__Type", type_) for type_ in types.values()]

    def _below(self, part: Part, node: FieldNode) -> list[Part]:
        """Kept, and so is what it is made of, or the id might become that of another part."""
        name, source = part
        key = (id(source), node.name.value)
        if key not in self._known:
            type_ = introspection_types[name]
            assert isinstance(type_, GraphQLObjectType)
            field = type_.fields[node.name.value]
            assert field.resolve is not None
            all_of_it = dict.fromkeys(field.args, True)  # includeDeprecated
            found = field.resolve(source, self._info, **all_of_it)
            many = is_list_type(get_nullable_type(field.type))
            below = [] if found is None else found if many else [found]
            self._known[key] = [(get_named_type(field.type).name, each) for each in below]
        return self._known[key]


class _Chosen:
    """What a document selects in each place, with the fragments that are spread there."""

    def __init__(self, document: DocumentNode) -> None:
        self._operations: list[SelectionSetNode] = []
        self._fragments: dict[str, SelectionSetNode] = {}
        self._known: dict[int, tuple[int, list[FieldNode]]] = {}
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode):
                self._operations.append(node.selection_set)
            elif isinstance(node, FragmentDefinitionNode):
                self._fragments[node.name.value] = node.selection_set

    def at_the_top(self) -> list[FieldNode]:
        return [node for selected in self._operations for node in self.of(selected)[1]]

    def of(self, selected: SelectionSetNode | None) -> tuple[int, list[FieldNode]]:
        """How many fields, and those of them that have fields themselves."""
        key = id(selected)
        if key not in self._known:
            fields = list(self._flat(selected))
            self._known[key] = len(fields), [node for node in fields if node.selection_set]
        return self._known[key]

    def _flat(self, selected: SelectionSetNode | None) -> Iterator[FieldNode]:
        spread: set[str] = set()
        left = [selected]
        while left:
            inside = left.pop()
            for node in inside.selections if inside else ():
                if isinstance(node, FieldNode):
                    yield node
                elif isinstance(node, FragmentSpreadNode):
                    if node.name.value not in spread:
                        spread.add(node.name.value)
                        left.append(self._fragments[node.name.value])
                elif isinstance(node, InlineFragmentNode):
                    left.append(node.selection_set)
