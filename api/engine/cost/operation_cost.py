"""What an operation costs: added up from its document and its variables, before it is executed.

A field costs its weight and what is selected of it, as often as its list is long. Fields of one name in one
place are one field, as in execution; of the types of a union the dearest counts.
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
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)

from api.engine.cost.field_costs import FieldCost, FieldCosts
from api.engine.literals import QueryTemplate, Values

INTROSPECTION = 10
"""Of __schema or __type, whatever is selected of it: it reads no store."""

Sizes = Mapping[str, int]


class OperationCost(NamedTuple):
    """How much an operation, or a part of one, asks for."""

    cost: int
    fields: int
    """Of the response, as documents/prices.py counts them; documents/introspection.py counts its own."""


_NONE: Final = OperationCost(0, 0)
_UNWANTED = {"include": False, "skip": True}


_REMEMBERED = 100
"""Costs of one document."""


class CostCalculator:
    """The costs of the operations of one document; what the same numbers and truth values cost is known."""

    def __init__(
        self, prices: FieldCosts, document: DocumentNode, shape: QueryTemplate | None = None
    ) -> None:
        """`shape`: of the literals that vary; what is given for them comes with the variables."""
        self.counted = 0
        """How often an operation was added up."""
        self._prices = prices
        self._places = shape.places if shape else {}
        self._numbers = list(shape.numbers) if shape else []
        self._operations: dict[str | None, OperationDefinitionNode] = {}
        self._fragments: dict[str, FragmentDefinitionNode] = {}
        self._bearing: dict[str | None, list[str | int]] = {}
        self._known: dict[tuple[object, ...], OperationCost] = {}
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode):
                self._operations[node.name.value if node.name else None] = node
            elif isinstance(node, FragmentDefinitionNode):
                self._fragments[node.name.value] = node

    def of(self, name: str | None, values: Values) -> OperationCost:
        """The amount of the operation of this name, with these coerced variables and literals."""
        if name not in self._bearing:
            self._bearing[name] = [*_bearing(self._operations[name]), *self._numbers]
        key = (name, *[values.get(each) for each in self._bearing[name]])
        known = self._known.get(key)
        if known is None:
            self.counted += 1
            known = self._sum(self._operations[name], values)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = known
        return known

    def _sum(self, node: OperationDefinitionNode, values: Values) -> OperationCost:
        root = self._prices.schema.get_root_type(node.operation)
        if root is None:
            return _NONE  # validation has refused it
        sum_ = _Sum(self._prices, self._fragments, values, self._places)
        return sum_.selected([node.selection_set], root, {})


def _bearing(node: OperationDefinitionNode) -> Iterator[str]:
    """The variables that may decide how long a list is, or whether a field is asked for."""
    for defined in node.variable_definitions or ():
        type_ = defined.type.type if isinstance(defined.type, NonNullTypeNode) else defined.type
        if isinstance(type_, NamedTypeNode) and type_.name.value in ("Int", "Boolean"):
            yield defined.variable.name.value


class _Sum:
    def __init__(
        self,
        prices: FieldCosts,
        fragments: Mapping[str, FragmentDefinitionNode],
        values: Values,
        places: Mapping[int, int],
    ) -> None:
        self._prices = prices
        self._fragments = fragments
        self._values = values
        self._places = places

    def selected(
        self, sets: list[SelectionSetNode], parent: GraphQLNamedType, sizes: Sizes
    ) -> OperationCost:
        """`sizes`: how long the lists are that the field above has sized."""
        costs, fields = [0], [0]
        for type_ in self._prices.possible(parent):
            chosen = self._collected(sets, type_).values()
            amounts = [self._field(nodes, type_, sizes) for nodes in chosen]
            costs.append(sum(amount.cost for amount in amounts))
            fields.append(sum(amount.fields for amount in amounts))
        return OperationCost(max(costs), max(fields))

    def _field(
        self, nodes: list[FieldNode], parent: GraphQLNamedType, sizes: Sizes
    ) -> OperationCost:
        name = nodes[0].name.value
        if name.startswith("__"):
            return OperationCost(0 if name == "__typename" else INTROSPECTION, 1)
        price = self._prices.of[parent.name][name]
        sets = [node.selection_set for node in nodes if node.selection_set]
        size = self._size(nodes[0], price)
        sized = dict.fromkeys(price.sized, size)
        inner = self.selected(sets, price.returns, sized) if sets else _NONE
        times = sizes.get(name, size) if price.is_list else 1
        return OperationCost(
            times * (price.weight + inner.cost), price.fields + times * inner.fields
        )

    def _size(self, node: FieldNode, price: FieldCost) -> int:
        if not price.slicing:
            return price.assumed
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        return max(self._slice(price, name, given.get(name)) for name in price.slicing)

    def _slice(self, price: FieldCost, name: str, given: ValueNode | None) -> int:
        found = self._value(given)
        if found is None:
            found = price.field.args[name].default_value
        if not isinstance(found, int):
            return price.assumed
        return min(max(found, 0), self._prices.longest)

    def _collected(
        self, sets: list[SelectionSetNode], parent: GraphQLNamedType
    ) -> dict[str, list[FieldNode]]:
        """The fields of these sets by the name under which they are answered; not recursive."""
        found: dict[str, list[FieldNode]] = defaultdict(list)
        seen: set[str] = set()
        left: list[SelectionNode] = [node for chosen in sets for node in chosen.selections]
        while left:
            node = left.pop()
            if not self._included(node):
                continue
            if isinstance(node, FieldNode):
                found[(node.alias or node.name).value].append(node)
            else:
                left += self._inside(node, parent, seen)
        return found

    def _inside(
        self, node: SelectionNode, parent: GraphQLNamedType, seen: set[str]
    ) -> Iterable[SelectionNode]:
        """What a fragment selects; nothing if it is of another type, or was looked into before."""
        fragment: Any = node
        if isinstance(node, FragmentSpreadNode):
            if node.name.value in seen:
                return ()
            seen.add(node.name.value)
            fragment = self._fragments[node.name.value]
        condition = fragment.type_condition
        if condition and not self._prices.applies(condition.name.value, parent):
            return ()
        selections: Iterable[SelectionNode] = fragment.selection_set.selections
        return selections

    def _included(self, node: SelectionNode) -> bool:
        return not any(
            self._value(argument.value) is _UNWANTED[directive.name.value]
            for directive in node.directives or ()
            if directive.name.value in _UNWANTED
            for argument in directive.arguments or ()
        )

    def _value(self, node: ValueNode | None) -> object:
        """Of a number or a truth value, or of the variable in its place; None for anything else."""
        match node:
            case VariableNode(name=name):
                return self._values.get(name.value)
            case IntValueNode(loc=loc) if loc is not None and loc.start in self._places:
                return self._values[self._places[loc.start]]
            case IntValueNode(value=digits):
                return int(digits)
            case BooleanValueNode(value=truth):
                return truth
            case _:
                return None
