"""The contract of a projection: a pure function from an event to Redis commands on keys of its partition.

A projection cannot read Redis. Two commands of functions.lua depend on stored values: REINDEX (used by
users_by_email.py) and HISTORY_PUSH (used by users.py). A user may be replayed from its first event while its
old keys still exist, so the commands for UserCreated delete them first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from readside.redis_functions.keys import Keys

Command = tuple[str, ...]
"""A Redis command, or a command of functions.lua: ("REINDEX", index, reverse, member, key) or
("HISTORY_PUSH", list, hash, length, version, field, *other fields of the hash)."""


class ProjectedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its metadata."""

    aggregate_id: str
    version: int
    occurred_at: str
    """RFC 3339 in UTC with milliseconds, as `to_rfc3339_millis` returns it."""
    data: Any


Projection: TypeAlias = "Callable[[Keys, ProjectedEvent], list[Command]]"
