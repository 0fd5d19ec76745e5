"""What a resolver receives as its `info`: the context, and which fields the client selected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import strawberry
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLIncludeDirective,
    GraphQLResolveInfo,
    GraphQLSkipDirective,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
)
from graphql.execution import get_directive_values

C = TypeVar("C")


class ResolverInfo(Generic[C]):
    """What a resolver is given by a plan, and all that it may use of its `info`."""

    __slots__ = ("_selected", "context")

    def __init__(self, context: C, selected: frozenset[str]) -> None:
        self.context = context
        self._selected = selected

    def selects(self, *names: str) -> bool:
        """Whether the client selected one of these fields of what this resolver returns."""
        return not self._selected.isdisjoint(names)


class StrawberryInfo(strawberry.Info[Any, None]):
    """What a resolver is given by graphql-core: Strawberry's Info, and a question that it asks of it."""

    def selects(self, *names: str) -> bool:
        """Whether the client selected one of these fields of what this resolver returns.

        Aliases, fragments, @skip and @include are seen through.
        """
        info = self._raw_info
        sets = (node.selection_set for node in info.field_nodes)
        return any(field in names for chosen in sets for field in _fields(info, chosen, set()))


def _fields(
    info: GraphQLResolveInfo[Any], chosen: SelectionSetNode | None, seen: set[str]
) -> Iterator[str]:
    """The names of the fields in a selection set; `seen` are the fragments already looked into."""
    for selection in chosen.selections if chosen else ():
        if not _included(info, selection):
            continue
        match selection:
            case FieldNode(name=name):
                yield name.value
            case InlineFragmentNode(selection_set=inner):
                yield from _fields(info, inner, seen)
            case FragmentSpreadNode(name=name) if name.value not in seen:
                seen.add(name.value)
                yield from _fields(info, info.fragments[name.value].selection_set, seen)


def _included(info: GraphQLResolveInfo[Any], node: SelectionNode) -> bool:
    if not node.directives:
        return True
    skip = get_directive_values(GraphQLSkipDirective, node, info.variable_values)
    include = get_directive_values(GraphQLIncludeDirective, node, info.variable_values)
    return not (skip and skip["if"]) and (include is None or bool(include["if"]))
