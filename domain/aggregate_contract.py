"""The contract of an aggregate: a value that says what the machinery needs to know of it.

An aggregate is a consistency boundary: a command changes one of them, in one transaction, and its events have
the versions 1, 2, 3 ... The write statements, group commit, the audit of the tables, erasure and `verify` are
made from this value, so an aggregate needs no code in the machinery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID, uuid4

import msgspec

from domain.event import (
    DomainEvent,
    Upcast,
    non_personal_fields,
    personal_fields,
    require_declared,
)
from domain.refusal import Refusal
from domain.tables import Children, ChildTable, RootTable, column_types


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

Permission = Literal["read", "write", "erase"]
"""What a token may allow on the aggregates of a kind."""


class UniqueKey(msgspec.Struct, frozen=True, kw_only=True):
    """A unique constraint of an aggregate's table, and the refusal of a command that violates it."""

    constraint: str
    refusal: type[Refusal]
    column: str
    source: str | None = None
    """The field of the state from which `derive` computes the column; None if the column is a field."""
    derive: Callable[[str], str] | None = None


class Aggregate(msgspec.Struct, frozen=True, kw_only=True, dict=True, eq=False):
    """An aggregate. A mistake in its declaration raises TypeError, in one sentence, when it is imported."""

    name: str
    """Stored with each event, and the prefix of its documents in Redis."""
    plural: str
    """The prefix of its scopes, such as `categories` in `categories:read`."""
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
    upcasts: dict[str, tuple[Upcast, ...]] = {}
    """By event type, the functions that convert older schema versions: the n-th converts version n."""
    formerly_personal: frozenset[str] = frozenset()
    """Fields with personal data that only older schema versions of events have."""

    def __post_init__(self) -> None:
        for mistake in self._mistakes():
            raise TypeError(f"The aggregate {self.name}: {mistake}.")
        _ = self.root, self.child_tables  # raises TypeError for a field that cannot be a column
        for struct in (*self.event_types, *self.child_types.values()):
            require_declared(struct)
        require_declared(self.state, apart_from=self.children.keys())

    def _mistakes(self) -> Iterator[str]:
        state = getattr(self.state, "__name__", self.state)
        if not (isinstance(self.state, type) and issubclass(self.state, AggregateState)):
            yield f"its state, {state}, is not derived from AggregateState"
        for event in self.event_types:
            if not (isinstance(event, type) and issubclass(event, DomainEvent)):
                yield f"one of its events, {event}, is not derived from DomainEvent"
        for event in self.ends_with:
            if event not in self.event_types:
                yield f"it ends with {event.__name__}, which is not one of its events"
            if personal_fields(event):
                yield f"it ends with {event.__name__}, which has personal fields, so they would be kept"
        for name in self.children:
            if name not in self.child_types:
                yield f"{state} has no field `{name}` of the type dict[Id, Child] for its children"
            elif "id" not in self.child_types[name].__struct_fields__:
                yield f"{self.child_types[name].__name__}, the type of its children, has no field `id`"
        fields = {field.name: field for field in msgspec.structs.fields(self.state)}
        for field in fields.values():
            if field.required and field.name != "id":
                yield f"{state}.{field.name} has no default, which is its value before the first event"
        for key in self.unique:
            source = fields.get(key.source or key.column)
            if source is None:
                yield f"{state} has no field for the unique constraint {key.constraint}"
            elif (key.source is None) is not (key.derive is None):
                yield f"the unique constraint {key.constraint} needs `source` and `derive`, or neither"
            elif (
                key.source is None
                and source.name in personal_fields(self.state)
                and source.default is not None
            ):
                yield f"{state}.{source.name} is unique, so erased it must be None: give it this default"
        if clash := self.non_personal & frozenset(self.personal):
            yield f"`{min(clash)}` is personal in one event and not in another"

    @cached_property
    def event_types(self) -> tuple[type[DomainEvent], ...]:
        return get_args(self.events) or (self.events,)

    @cached_property
    def child_types(self) -> dict[str, type[msgspec.Struct]]:
        """The struct of each field with children."""
        hints = get_type_hints(self.state)
        return {
            field: get_args(hints[field])[1]
            for field in self.children
            if get_origin(hints.get(field)) is dict
        }

    @cached_property
    def root(self) -> RootTable:
        fields = column_types(self.state, apart_from=self.children.keys())
        derived = {
            key.column: (key.source, key.derive) for key in self.unique if key.source and key.derive
        }
        columns = fields | dict.fromkeys(derived, "text")
        return RootTable(self.table, columns, derived, attrgetter(*fields))

    @cached_property
    def child_tables(self) -> dict[str, ChildTable]:
        """The tables of the children, by field of the state."""
        tables = {}
        for field, struct in self.child_types.items():
            names = self.children[field]
            columns = column_types(struct)
            tables[field] = ChildTable(field, names.table, names.parent, struct, columns)
        return tables

    @cached_property
    def refusals(self) -> dict[str, type[Refusal]]:
        """The refusals of commands that violate a unique constraint, by its name."""
        refusals = {key.constraint: key.refusal for key in self.unique}
        for children in self.children.values():
            refusals |= children.unique
        return refusals

    @cached_property
    def final_types(self) -> frozenset[str]:
        """The types of the events that end an aggregate."""
        return frozenset(event.__name__ for event in self.ends_with)

    @cached_property
    def personal(self) -> tuple[str, ...]:
        """The fields of events that identify a person, sorted."""
        present = frozenset().union(*map(personal_fields, self.event_types))
        return tuple(sorted(present | self.formerly_personal))

    @cached_property
    def non_personal(self) -> frozenset[str]:
        """The fields of events with text that identifies no person."""
        return frozenset().union(*map(non_personal_fields, self.event_types))

    def new(self, aggregate_id: UUID) -> AggregateState:
        """Returns the state of an aggregate that is not created yet."""
        return self.state(id=aggregate_id, secret=uuid4())

    def after(self, state: S, event: DomainEvent, at: datetime) -> S:
        """Returns the state after one more event, which happened at `at`."""
        evolved: Any = self.evolve(state, event, at)
        if isinstance(event, self.ends_with):
            blank = self._blank(evolved)
            evolved = msgspec.structs.replace(evolved, erased_at=at, secret=None, **blank)
        created_at, version = state.created_at or at, state.version + 1
        return msgspec.structs.replace(  # type: ignore[no-any-return]
            evolved, version=version, created_at=created_at, updated_at=at
        )

    def _blank(self, state: AggregateState) -> dict[str, Any]:
        """Returns the fields of an erased state in which something personal is blanked."""
        defaults = {field.name: field.default for field in msgspec.structs.fields(state)}
        blank = {field: defaults[field] for field in personal_fields(self.state)}
        for field, struct in self.child_types.items():
            personal = dict.fromkeys(personal_fields(struct), "")
            children = getattr(state, field).items()
            blank[field] = {
                key: msgspec.structs.replace(child, **personal) for key, child in children
            }
        return blank

    def scope(self, permission: Permission) -> str:
        """Returns the scope that a token needs: the plural and this permission."""
        return f"{self.plural}:{permission}"


def suffixed_key(key: str, aggregate_id: UUID) -> str:
    """Returns the key of the younger of two aggregates whose values have the same key under newer rules.

    Keys that `derive` returns contain no space.
    """
    return f"{key} {aggregate_id}"


def registry(*aggregates: Aggregate) -> dict[str, Aggregate]:
    """Returns the aggregates by name. Raises TypeError if two have the same name, plural or table."""
    for attribute in ("name", "plural", "table"):
        values = [getattr(aggregate, attribute) for aggregate in aggregates]
        for value in values:
            if values.count(value) > 1:
                raise TypeError(f"Two aggregates have the {attribute} {value}.")
    return {aggregate.name: aggregate for aggregate in aggregates}
