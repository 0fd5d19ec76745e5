"""What every resolver is given: the two stores, and what the client selected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

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

from api.access.scopes import EVERYBODY, Caller
from api.documents.trusted import Trusted
from api.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domain.command import Answer, Command
    from domain.refusals import Refusal
    from readside.reader import Reads


class Commands(Protocol):
    """The door for writing: the store, or one that also counts."""

    async def execute(
        self, command: Command, *, metadata: Mapping[str, str] | None = None
    ) -> Answer | Refusal: ...


Measure = Callable[[str, str, float], None]


def _nobody(_kind: str, _code: str, _seconds: float) -> None:
    """Wants to know."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """The service behind the edge, `store` for commands and `reads` for queries; and who asks it."""

    store: Commands
    reads: Reads
    limits: Limits = field(default_factory=Limits)
    http_profile: Literal["compatible", "strict"] = "compatible"
    trusted: Trusted = field(default_factory=Trusted)
    introspection: bool = True
    """Whether clients may ask for the schema."""
    measure: Measure = _nobody
    """Told of every operation: its kind, its code or ok, and the seconds it took."""
    caller: Caller = EVERYBODY


class Asked:
    """What a resolver is given by a plan, and all that it may use of its `info`."""

    __slots__ = ("_selected", "context")

    def __init__(self, context: Context, selected: frozenset[str]) -> None:
        self.context = context
        self._selected = selected

    def selects(self, *names: str) -> bool:
        """Whether the client selected one of these fields of what this resolver returns."""
        return not self._selected.isdisjoint(names)


class StrawberryInfo(strawberry.Info[Context, None]):
    """What a resolver is given by graphql-core: Strawberry's Info, and a question that it asks of it."""

    def selects(self, *names: str) -> bool:
        """Whether the client selected one of these fields of what this resolver returns.

        Aliases, fragments, @skip and @include are seen through.
        """
        info = self._raw_info
        sets = (node.selection_set for node in info.field_nodes)
        return any(field in names for chosen in sets for field in _fields(info, chosen, set()))


# What resolvers say they are given: the type checker holds them to what a plan gives them, which is less.
if TYPE_CHECKING:
    Info = Asked
else:
    Info = StrawberryInfo


def _fields(
    info: GraphQLResolveInfo[Context], chosen: SelectionSetNode | None, seen: set[str]
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


def _included(info: GraphQLResolveInfo[Context], node: SelectionNode) -> bool:
    if not node.directives:
        return True
    skip = get_directive_values(GraphQLSkipDirective, node, info.variable_values)
    include = get_directive_values(GraphQLIncludeDirective, node, info.variable_values)
    return not (skip and skip["if"]) and (include is None or bool(include["if"]))
