"""The limits on the size of a document, checked in one pass before validation, which may take quadratic time.

Each fragment is visited once, however often it is spread. Selections under __schema and __type are left to
introspection.py, and to graphql-core, which limits how deep introspection may recurse.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLSchema,
    GraphQLType,
    InlineFragmentNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    get_named_type,
)

from api.engine.resolver_info import has_resolver
from api.limits import Limits

_INTROSPECTION = ("__schema", "__type")
_ALIASES = "aliases of fields that read or write by themselves"


class Size(NamedTuple):
    """The size of a selection set, including what is nested in it."""

    depth: int = 0
    """Levels of nested fields."""
    lists: int = 0
    """Levels of nested lists."""
    aliases: int = 0
    """Aliases of fields with a resolver: to repeat another field costs the fields of the response only."""
    fields: int = 0
    """Fields of the set itself."""

    def merge(self, other: Size) -> Size:
        """Returns the size of a set that has the selections of both."""
        return Size(
            max(self.depth, other.depth),
            max(self.lists, other.lists),
            self.aliases + other.aliases,
            self.fields + other.fields,
        )


def size_errors(
    schema: GraphQLSchema, document: DocumentNode, limits: Limits
) -> list[GraphQLError]:
    """Returns one error for each limit that the document exceeds."""
    return list(_Measurement(schema, document, limits).errors())


class _Measurement:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode, limits: Limits) -> None:
        self._schema = schema
        self._document = document
        self._limits = limits
        self._fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        self._sizes: dict[str, Size] = {}
        self._directives = 0
        self._max_directives_of_node = 0
        self._selections = 0
        self._repeats = 0
        self._members = 0

    def errors(self) -> Iterator[GraphQLError]:
        limits = self._limits
        if too_many := list(_above(limits.fragments, len(self._fragments), "fragments")):
            yield from too_many
            return
        for name in self._fragments:
            self._fragment(name)
        for node in self._document.definitions:
            if isinstance(node, OperationDefinitionNode):
                yield from self._operation_errors(node)
        yield from _above(limits.selections, self._selections, "selections")
        yield from _above(limits.repeats, self._repeats, "repeated fields")
        yield from _above(limits.members, self._members, "members of lists and objects")
        yield from _above(limits.directives, self._directives, "directives")
        yield from _above(
            limits.directives_of_node,
            self._max_directives_of_node,
            "directives in one place",
        )

    def _operation_errors(self, node: OperationDefinitionNode) -> Iterator[GraphQLError]:
        limits = self._limits
        self._count_directives(node)
        for variable in node.variable_definitions or ():
            self._count_directives(variable)
        root = self._schema.get_root_type(node.operation)
        size = self._selected(node.selection_set, root)
        yield from _above(limits.depth, size.depth, "levels of fields", node, "LIMIT_DEPTH")
        yield from _above(limits.lists, size.lists, "lists in one another", node)
        yield from _above(limits.aliases, size.aliases, _ALIASES, node, "LIMIT_ALIASES")
        yield from _above(limits.root_fields, size.fields, "fields at the top", node)

    def _fragment(self, name: str) -> Size:
        """Returns an empty size for an unknown or recursive fragment: validation refuses those."""
        if name not in self._fragments:
            return Size()
        if name not in self._sizes:
            self._sizes[name] = Size()
            node = self._fragments[name]
            self._count_directives(node)
            condition = self._schema.get_type(node.type_condition.name.value)
            self._sizes[name] = self._selected(node.selection_set, condition)
        return self._sizes[name]

    def _selected(
        self,
        selected: SelectionSetNode | None,
        parent: GraphQLNamedType | None,
        response_names: set[str] | None = None,
    ) -> Size:
        """Returns the size of a set; `response_names` are those of the set that an inline fragment is in."""
        size = Size()
        response_names = set() if response_names is None else response_names
        for node in selected.selections if selected else ():
            self._selections += 1
            self._count_directives(node)
            match node:
                case FieldNode():
                    name = (node.alias or node.name).value
                    self._repeats += name in response_names
                    response_names.add(name)
                    size = size.merge(self._field(node, parent))
                case InlineFragmentNode(type_condition=condition, selection_set=inner):
                    type_ = self._schema.get_type(condition.name.value) if condition else parent
                    size = size.merge(self._selected(inner, type_, response_names))
                case FragmentSpreadNode(name=name_node):
                    size = size.merge(self._fragment(name_node.value))
        return size

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None) -> Size:
        field = getattr(parent, "fields", {}).get(node.name.value)
        type_ = field.type if field is not None else None
        inner = self._selected(node.selection_set, get_named_type(type_) if type_ else None)
        aliases = inner.aliases
        if node.alias is not None and field is not None and has_resolver(field):
            aliases += 1
        self._members += sum(_members(argument.value) for argument in node.arguments or ())
        if node.name.value in _INTROSPECTION:
            return Size(1, 0, aliases, 1)
        return Size(1 + inner.depth, _list_levels(type_) + inner.lists, aliases, 1)

    def _count_directives(self, node: Node) -> None:
        number = len(getattr(node, "directives", None) or ())
        self._directives += number
        self._max_directives_of_node = max(self._max_directives_of_node, number)


def _list_levels(type_: GraphQLType | None) -> int:
    if isinstance(type_, GraphQLList):
        return 1 + _list_levels(type_.of_type)
    return _list_levels(type_.of_type) if isinstance(type_, GraphQLNonNull) else 0


def _members(value: ValueNode) -> int:
    match value:
        case ListValueNode(values=values):
            return len(values) + sum(_members(inner) for inner in values)
        case ObjectValueNode(fields=fields):
            return len(fields) + sum(_members(field.value) for field in fields)
        case _:
            return 0


def _above(
    limit: int, number: int, things: str, node: Node | None = None, setting: str = ""
) -> Iterator[GraphQLError]:
    if number > limit:
        name = setting and f" ({setting})"
        yield GraphQLError(f"There are {number} {things}; at most {limit} are allowed{name}.", node)
