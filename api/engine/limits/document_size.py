"""How large a document is: found in one pass over it, before validation, which may cost its square.

Fragments are looked into once, however often they are spread. What lies under __schema and __type is
measured by graphql-core, which limits how often introspection may go round in circles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

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
    InlineFragmentNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    get_named_type,
)

if TYPE_CHECKING:
    from graphql import GraphQLType

    from api.limits import Limits

_INTROSPECTION = ("__schema", "__type")


class Size(NamedTuple):
    """Of a selection set with all it selects."""

    depth: int = 0
    """Fields in one another."""
    lists: int = 0
    """Lists in one another."""
    aliases: int = 0
    fields: int = 0
    """At the top."""

    def beside(self, other: Size) -> Size:
        return Size(
            max(self.depth, other.depth),
            max(self.lists, other.lists),
            self.aliases + other.aliases,
            self.fields + other.fields,
        )


def too_large(schema: GraphQLSchema, document: DocumentNode, limits: Limits) -> list[GraphQLError]:
    """What a document has more of than it may, an error each."""
    return list(_Measure(schema, document, limits).errors())


class _Measure:
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
        self._most_directives = 0
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
                yield from self._of_operation(node)
        yield from _above(limits.selections, self._selections, "selections")
        yield from _above(limits.repeats, self._repeats, "repeated fields")
        yield from _above(limits.members, self._members, "members of lists and objects")
        yield from _above(limits.directives, self._directives, "directives")
        most = self._most_directives
        yield from _above(limits.directives_of_node, most, "directives in one place")

    def _of_operation(self, node: OperationDefinitionNode) -> Iterator[GraphQLError]:
        limits = self._limits
        self._count_directives(node)
        for variable in node.variable_definitions or ():
            self._count_directives(variable)
        root = self._schema.get_root_type(node.operation)
        size = self._selected(node.selection_set, root)
        yield from _above(limits.depth, size.depth, "levels of fields", node, "LIMIT_DEPTH")
        yield from _above(limits.lists, size.lists, "lists in one another", node)
        yield from _above(limits.aliases, size.aliases, "aliases", node, "LIMIT_ALIASES")
        yield from _above(limits.root_fields, size.fields, "fields at the top", node)

    def _fragment(self, name: str) -> Size:
        """Nothing for one that is unknown, or that spreads itself: validation refuses those."""
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
        chosen: SelectionSetNode | None,
        parent: GraphQLNamedType | None,
        seen: set[str] | None = None,
    ) -> Size:
        """`seen`: the names under which fields of the same set are answered."""
        size, seen = Size(), set() if seen is None else seen
        for node in chosen.selections if chosen else ():
            self._selections += 1
            self._count_directives(node)
            match node:
                case FieldNode():
                    answered = (node.alias or node.name).value
                    self._repeats += answered in seen
                    seen.add(answered)
                    size = size.beside(self._field(node, parent))
                case InlineFragmentNode(type_condition=None, selection_set=inner):
                    size = size.beside(self._selected(inner, parent, seen))
                case InlineFragmentNode(type_condition=condition, selection_set=inner):
                    of = self._schema.get_type(condition.name.value) if condition else parent
                    size = size.beside(self._selected(inner, of, seen))
                case FragmentSpreadNode(name=name):
                    size = size.beside(self._fragment(name.value))
        return size

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None) -> Size:
        of = _type_of(node, parent)
        inner = self._selected(node.selection_set, get_named_type(of) if of else None)
        aliases = inner.aliases + (node.alias is not None)
        self._members += sum(_members(argument.value) for argument in node.arguments or ())
        if node.name.value in _INTROSPECTION:
            return Size(1, 0, aliases, 1)
        return Size(1 + inner.depth, _lists(of) + inner.lists, aliases, 1)

    def _count_directives(self, node: Node) -> None:
        number = len(getattr(node, "directives", None) or ())
        self._directives += number
        self._most_directives = max(self._most_directives, number)


def _type_of(node: FieldNode, parent: GraphQLNamedType | None) -> GraphQLType | None:
    field = getattr(parent, "fields", {}).get(node.name.value)
    return field.type if field is not None else None


def _lists(of: GraphQLType | None) -> int:
    if isinstance(of, GraphQLList):
        return 1 + _lists(of.of_type)
    return _lists(of.of_type) if isinstance(of, GraphQLNonNull) else 0


def _members(value: ValueNode) -> int:
    match value:
        case ListValueNode(values=values):
            return len(values) + sum(_members(inner) for inner in values)
        case ObjectValueNode(fields=fields):
            return len(fields) + sum(_members(field.value) for field in fields)
        case _:
            return 0


def _above(
    limit: int, found: int, what: str, node: Node | None = None, setting: str = ""
) -> Iterator[GraphQLError]:
    if found > limit:
        name = setting and f" ({setting})"
        yield GraphQLError(f"There are {found} {what}; at most {limit} are allowed{name}.", node)
