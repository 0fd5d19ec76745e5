"""The cost of an operation, computed from its document and its variables before execution.

A field costs its weight and the cost of its selection, times the length of its list. Fields with the same
response name are one field, as in execution; for an abstract type the most expensive object type counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from graphql import (
    BooleanValueNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    IntValueNode,
    ListTypeNode,
    ListValueNode,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)

from api.engine.cost.field_costs import FieldCost, FieldCosts
from api.engine.literals import LiteralIndex, QueryTemplate, Values

INTROSPECTION_COST = 10
"""The cost of __schema or __type, whatever their selection: they read no store."""

INTROSPECTION_FIELDS = 3_000
"""The fields of a response that __schema or __type counts as: the number that tools request."""

FIELDS_PER_COST: Final = 20
"""Fields of a response that are charged like an object that is read.

graphql-core takes as long for so many as for half of the smallest request, over HTTP, from parsing its
headers to writing its response. A plan takes a tenth of that: it is as cheap as an object that is read.
"""

ListLengths = Mapping[str, int]
"""Lengths of the lists in a connection, by field."""


class OperationCost(NamedTuple):
    """The cost of an operation, or of a part of one."""

    cost: int
    fields: int
    """Fields of the response, as field_costs.py counts them; limits/introspection.py counts its own."""

    @property
    def charge(self) -> int:
        """What the rate limit charges for the operation, and clients see as its cost."""
        return max(self.cost, self.fields // FIELDS_PER_COST)


_NO_COST: Final = OperationCost(0, 0)
_EXCLUDES: Final = {"include": False, "skip": True}
"""The value of `if` with which a directive excludes a selection."""


_MAX_CACHED = 100
"""Cached costs of one document."""


class CostCalculator:
    """Computes the costs of the operations of one document; caches them by the variables that matter."""

    def __init__(
        self, field_costs: FieldCosts, document: DocumentNode, template: QueryTemplate | None = None
    ) -> None:
        self.computed = 0
        """How often a cost was computed, because it was not cached."""
        self._field_costs = field_costs
        self._literal_index = template.literal_index if template else {}
        self._integers = list(template.integers) if template else []
        self._operations: dict[str | None, OperationDefinitionNode] = {}
        self._fragments: dict[str, FragmentDefinitionNode] = {}
        self._relevant: dict[str | None, list[str | int]] = {}
        self._cached: dict[tuple[object, ...], OperationCost] = {}
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode):
                self._operations[node.name.value if node.name else None] = node
            elif isinstance(node, FragmentDefinitionNode):
                self._fragments[node.name.value] = node

    def cost(self, name: str | None, values: Values) -> OperationCost:
        """Returns the cost of the operation of this name, with these coerced variables and literals."""
        if name not in self._relevant:
            self._relevant[name] = [*_relevant(self._operations[name]), *self._integers]
        key = (name, *[_size(values.get(variable)) for variable in self._relevant[name]])
        cost = self._cached.get(key)
        if cost is None:
            self.computed += 1
            cost = self._compute(self._operations[name], values)
            if len(self._cached) >= _MAX_CACHED:
                self._cached.clear()
            self._cached[key] = cost
        return cost

    def _compute(self, node: OperationDefinitionNode, values: Values) -> OperationCost:
        root = self._field_costs.schema.get_root_type(node.operation)
        if root is None:
            return _NO_COST  # validation has refused it
        sum_ = _Sum(self._field_costs, self._fragments, values, self._literal_index)
        return sum_.selected([node.selection_set], root, {})


def _relevant(node: OperationDefinitionNode) -> Iterator[str]:
    """Yields the variables that may decide how long a list is, or whether a field is included."""
    for definition in node.variable_definitions or ():
        type_ = definition.type
        type_ = type_.type if isinstance(type_, NonNullTypeNode) else type_
        if isinstance(type_, ListTypeNode) or (
            isinstance(type_, NamedTypeNode) and type_.name.value in ("Int", "Boolean")
        ):
            yield definition.variable.name.value


def _size(value: object) -> int | None:
    """Returns an integer, a Boolean, or the length of a list; None for anything else."""
    if isinstance(value, (list, tuple)):
        return len(value)
    return value if isinstance(value, int) else None


class _Sum:
    def __init__(
        self,
        field_costs: FieldCosts,
        fragments: Mapping[str, FragmentDefinitionNode],
        values: Values,
        literal_index: LiteralIndex,
    ) -> None:
        self._field_costs = field_costs
        self._fragments = fragments
        self._values = values
        self._literal_index = literal_index

    def selected(
        self, sets: list[SelectionSetNode], parent: GraphQLNamedType, lengths: ListLengths
    ) -> OperationCost:
        """Returns the cost of selection sets; `lengths` are those that the parent's field has declared."""
        costs, fields = [0], [0]
        for type_ in self._field_costs.possible_types(parent):
            collected = self._collect_fields(sets, type_).values()
            parts = [self._field(nodes, type_, lengths) for nodes in collected]
            costs.append(sum(part.cost for part in parts))
            fields.append(sum(part.fields for part in parts))
        return OperationCost(max(costs), max(fields))

    def _field(
        self, nodes: list[FieldNode], parent: GraphQLNamedType, lengths: ListLengths
    ) -> OperationCost:
        name = nodes[0].name.value
        if name.startswith("__"):
            if name == "__typename":
                return OperationCost(0, 1)
            return OperationCost(INTROSPECTION_COST, INTROSPECTION_FIELDS)
        field = self._field_costs.by_type[parent.name][name]
        sets = [node.selection_set for node in nodes if node.selection_set]
        length = self._list_length(nodes[0], field)
        sized = dict.fromkeys(field.sized, length)
        inner = self.selected(sets, field.type, sized) if sets else _NO_COST
        times = lengths.get(name, length) if field.is_list else 1
        return OperationCost(
            field.once + times * (field.weight + inner.cost), field.fields + times * inner.fields
        )

    def _list_length(self, node: FieldNode, field: FieldCost) -> int:
        """Returns the highest of the slicing arguments that have a value; else the assumed size."""
        if not field.slicing:
            return field.assumed_size
        sizes = (
            _size(self._value(argument.value))
            for argument in node.arguments or ()
            if argument.name.value in field.slicing
        )
        length = max((size for size in sizes if size is not None), default=field.assumed_size)
        return min(max(length, 0), self._field_costs.max_list_length)

    def _collect_fields(
        self, sets: list[SelectionSetNode], parent: GraphQLNamedType
    ) -> dict[str, list[FieldNode]]:
        """Returns the fields of these sets by response name. Not recursive, so depth cannot overflow it."""
        fields: dict[str, list[FieldNode]] = defaultdict(list)
        visited: set[str] = set()
        pending: list[SelectionNode] = [node for set_ in sets for node in set_.selections]
        while pending:
            node = pending.pop()
            if not self._is_included(node):
                continue
            if isinstance(node, FieldNode):
                fields[(node.alias or node.name).value].append(node)
            else:
                pending += self._fragment_selections(node, parent, visited)
        return fields

    def _fragment_selections(
        self, node: SelectionNode, parent: GraphQLNamedType, visited: set[str]
    ) -> Iterable[SelectionNode]:
        """Returns the selections of a fragment; none if it does not apply, or was visited before."""
        fragment: Any = node
        if isinstance(node, FragmentSpreadNode):
            if node.name.value in visited:
                return ()
            visited.add(node.name.value)
            fragment = self._fragments[node.name.value]
        condition = fragment.type_condition
        if condition and not self._field_costs.applies(condition.name.value, parent):
            return ()
        selections: Iterable[SelectionNode] = fragment.selection_set.selections
        return selections

    def _is_included(self, node: SelectionNode) -> bool:
        return not any(
            self._value(argument.value) is _EXCLUDES[directive.name.value]
            for directive in node.directives or ()
            if directive.name.value in _EXCLUDES
            for argument in directive.arguments or ()
        )

    def _value(self, node: ValueNode | None) -> object:
        """Returns the value of an integer, a Boolean, a list, or a variable; None for anything else."""
        match node:
            case VariableNode(name=name):
                return self._values.get(name.value)
            case IntValueNode(loc=loc) if loc is not None and loc.start in self._literal_index:
                return self._values[self._literal_index[loc.start]]
            case IntValueNode(value=digits):
                return int(digits)
            case BooleanValueNode(value=boolean):
                return boolean
            case ListValueNode(values=values):
                return values
            case _:
                return None
