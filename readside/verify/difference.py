"""The differences between a read model and the event log that `tandem verify` reports."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

_ID_AT_END = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


class KeyEntry(NamedTuple):
    """A key of a generation, or a member of it: the unit of comparison."""

    name: str
    """The name of the key, without partition and generation."""
    member: str = ""
    """A field, member or index; '' for the whole key."""
    kind: str = ""
    """The type of the key; '' if only the type is compared."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A difference from the event log."""

    key: str
    """The name of the key, without partition, generation and aggregate."""
    aggregate_id: str | None = msgspec.field(default=None, name="user")
    field: str = ""
    should: Any = None
    """The value according to the log."""
    found: Any = None
    """The value in the active generation."""
    shared: bool = False
    """Whether it is in data of several aggregates, so that a resync of this aggregate would not repair it."""


def aggregate_in(name: str) -> UUID | None:
    """Returns the aggregate of a key or a member: the one whose id it ends with."""
    match = _ID_AT_END.search(name)
    return None if match is None else UUID(match.group())
