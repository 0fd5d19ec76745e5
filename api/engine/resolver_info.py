"""Which fields have a resolver, and its `info`: the context, and which fields the client selected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

import strawberry
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLIncludeDirective,
    GraphQLResolveInfo,
    GraphQLSkipDirective,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
)
from graphql.execution import get_directive_values
from strawberry.types.field import StrawberryField

if TYPE_CHECKING:
    from api.auth.scopes import Caller
    from api.engine.stream_position import StreamPosition

C = TypeVar("C")


def has_resolver(field: GraphQLField) -> bool:
    """Returns whether a resolver is called for the field, instead of reading an attribute."""
    definition = (field.extensions or {}).get("strawberry-definition")
    return isinstance(definition, StrawberryField) and definition.base_resolver is not None


class CallerContext(Protocol):
    """The part of a resolver's context that the engine uses."""

    @property
    def caller(self) -> Caller: ...

    def for_caller(self, caller: Caller, position: StreamPosition | None = None) -> Self:
        """Returns the context of a request of this caller, or of a stream with this position."""
        ...


class ResolverInfo(Generic[C]):
    """The `info` that a compiled plan passes to a resolver: resolvers may use nothing else."""

    __slots__ = ("_selected", "context")

    def __init__(self, context: C, selected: frozenset[str]) -> None:
        self.context = context
        self._selected = selected

    def selects(self, *names: str) -> bool:
        """Returns whether the client selected one of these fields of the resolver's result."""
        return not self._selected.isdisjoint(names)


class StrawberryInfo(strawberry.Info[Any, None]):
    """The `info` that a resolver gets when graphql-core runs it: Strawberry's, with `selects`."""

    def selects(self, *names: str) -> bool:
        """Returns whether the client selected one of these fields of the resolver's result.

        Follows aliases, fragments, @skip and @include.
        """
        info = self._raw_info
        sets = (node.selection_set for node in info.field_nodes)
        return any(field in names for set_ in sets for field in _fields(info, set_, set()))


def _fields(
    info: GraphQLResolveInfo[Any], selected: SelectionSetNode | None, seen: set[str]
) -> Iterator[str]:
    """Yields the names of the fields in a selection set; `seen` are the fragments already visited."""
    for selection in selected.selections if selected else ():
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
