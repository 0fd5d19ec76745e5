"""The contract of a projection: a pure function from an event to Redis commands on keys of its partition.

A projection cannot read Redis. The commands of functions.lua depend on stored values instead. An aggregate
may be replayed from its first event while its old keys still exist, so the commands for the first event
remove them. What a projection may not do is refused when it is declared: see command_rules.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from readside.redis_functions.keys import Keys

Command = tuple[str, ...]
"""A Redis command, or a command of functions.lua:
("REINDEX", index, reverse, member, key),
("REINDEX_NUMBER" or "REINDEX_MORE", index, reverse, member, number), made by sorted_index.py;
("UNINDEX", index, sorted set of the aggregate, member, the document's field that counts that set);
("HISTORY_PUSH", list, hash, length, version, field, *other fields of the hash), made by stored_document.py;
("CONTRIBUTE" or "CONTRIBUTE_MORE", sums, members, member, group, amount), made by grouped_sum.py."""

CONTRIBUTIONS: Final = frozenset({"CONTRIBUTE", "CONTRIBUTE_MORE"})
REINDEXINGS: Final = frozenset({"REINDEX", "REINDEX_NUMBER", "REINDEX_MORE"})

E = TypeVar("E")


class RefusedCommand(Exception):
    """A command that no projection may return; str() is one sentence."""


class ProjectedEvent(msgspec.Struct, Generic[E], frozen=True, kw_only=True):
    """An event of one of the types E, the union of an aggregate, with its metadata."""

    aggregate: str
    aggregate_id: str
    version: int
    occurred_at: str
    """RFC 3339 in UTC with milliseconds, as `to_rfc3339_millis` returns it."""
    data: E


Projection: TypeAlias = "Callable[[Keys, ProjectedEvent[Any]], list[Command]]"

Projections: TypeAlias = "Mapping[str, Sequence[Projection]]"
"""By the name of the aggregate whose events they are given."""
