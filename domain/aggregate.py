"""The contract of an aggregate: a value that says what the machinery needs to know of it.

An aggregate is a consistency boundary: a command changes one of them, in one transaction, and its events have
the versions 1, 2, 3 ... The write statements, group commit, the audit of the tables, erasure and `verify` are
made from this value, so an aggregate needs no code in the machinery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final, TypeVar, get_args, get_type_hints
from uuid import UUID

import msgspec

from domain.event import DomainEvent, Upcast, personal_fields, undeclared_text
from domain.refusal import Refusal


class AggregateState(msgspec.Struct, frozen=True, kw_only=True):
    """The base of the states of all aggregates. The defaults are those of one that has no event yet.

    Each field is a column of the aggregate's table, except for its children: fields of the type
    `dict[Id, Child]`, whose values are rows of tables of their own.
    """

    id: UUID
    version: int = 0
    """The number of events of this aggregate."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    erased_at: datetime | None = None
    secret: UUID | None = None
    """The key of the request digests of the aggregate's commands; None once it is erased."""

    @property
    def exists(self) -> bool:
        return self.version > 0 and self.erased_at is None


S = TypeVar("S", bound=AggregateState)

STATE_FIELDS: Final = AggregateState.__struct_fields__


class UniqueKey(msgspec.Struct, frozen=True, kw_only=True):
    """A unique constraint of an aggregate's table, and the refusal of a command that violates it."""

    constraint: str
    refusal: type[Refusal]
    column: str
    source: str | None = None
    """The field of the state from which `derive` computes the column; None if the column is a field."""
    derive: Callable[[str], str] | None = None


class Children(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that belong to an aggregate: their table, and its column with the id of the aggregate."""

    table: str
    parent: str


class Aggregate(msgspec.Struct, frozen=True, kw_only=True, dict=True, eq=False):
    """An aggregate. A mistake in its declaration raises TypeError, in one sentence, when it is imported."""

    name: str
    """Stored with each event, and the prefix of its documents in Redis."""
    plural: str
    """The name of its scopes, such as `users:read`."""
    state: type[AggregateState]
    events: Any
    """The union of its events, or the one event."""
    evolve: Callable[[Any, Any, datetime], AggregateState]
    """Returns the state after an event that happened at a time. `after` adds what is the same for all."""
    table: str
    children: Mapping[str, Children] = {}
    """By field of the state."""
    unique: tuple[UniqueKey, ...] = ()
    ends_with: tuple[type[DomainEvent], ...] = ()
    """Events after which nothing personal is left: the aggregate is erased."""
    upcasts: Mapping[str, tuple[Upcast, ...]] = {}
    """By event type, the functions that convert older schema versions: the n-th converts version n."""

    def __post_init__(self) -> None:
        for struct in (*self.event_types, self.state, *self.child_types.values()):
            for field in sorted(undeclared_text(struct)):
                raise TypeError(
                    f"{struct.__name__}.{field} holds text: declare it as Personal[str] if it identifies a"
                    " person, which an erasure then blanks, or as NonPersonal[str]."
                )

    @cached_property
    def event_types(self) -> tuple[type[DomainEvent], ...]:
        return get_args(self.events) or (self.events,)

    @cached_property
    def child_types(self) -> dict[str, type[msgspec.Struct]]:
        """The struct of each field with children."""
        hints = get_type_hints(self.state)
        return {field: get_args(hints[field])[1] for field in self.children}

    @cached_property
    def indispensable_types(self) -> frozenset[str]:
        """The types of the events without which read models cannot be right: the first and the final ones."""
        return frozenset({self.event_types[0].__name__, *self.final_types})

    @cached_property
    def final_types(self) -> frozenset[str]:
        """The types of the events that end an aggregate."""
        return frozenset(event.__name__ for event in self.ends_with)

    @cached_property
    def personal(self) -> tuple[str, ...]:
        """The fields of events that identify a person, sorted."""
        return tuple(sorted(frozenset().union(*map(personal_fields, self.event_types))))

    @cached_property
    def _blank(self) -> dict[str, Any]:
        """The values of the personal fields of an erased state."""
        defaults = {field.name: field.default for field in msgspec.structs.fields(self.state)}
        return {field: defaults[field] for field in personal_fields(self.state)}

    def after(self, state: S, event: DomainEvent, at: datetime) -> S:
        """Returns the state after one more event, which happened at `at`."""
        changes: dict[str, Any] = {"version": state.version + 1, "updated_at": at}
        if not state.version:
            changes["created_at"] = at
        if isinstance(event, self.ends_with):
            changes |= {"erased_at": at, "secret": None, **self._blank}
        return msgspec.structs.replace(self.evolve(state, event, at), **changes)  # type: ignore[return-value]

    def scope(self, permission: str) -> str:
        """Returns the scope that a token needs: `users:read`, for instance."""
        return f"{self.plural}:{permission}"


def suffixed_key(key: str, aggregate_id: UUID) -> str:
    """Returns the key of the younger of two aggregates whose values have the same key under newer rules.

    Keys that `derive` returns contain no space.
    """
    return f"{key} {aggregate_id}"
