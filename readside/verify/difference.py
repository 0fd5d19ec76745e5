"""What `tandem verify` reports about a partition: differences from the log, and users who are parked."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from domain.users.events import UserId

_USER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


class KeyEntry(NamedTuple):
    """A key of a generation, or a member of it: what one comparison is about."""

    name: str
    """Of the key, without partition and generation."""
    member: str = ""
    """A field, member or index; '' for the whole key."""
    kind: str = ""
    """What TYPE says of the key; '' if only that is compared."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as the log says."""

    partition: int
    key: str
    """Without the names of partition, generation and user."""
    user: str | None = None
    field: str = ""
    should: Any = None
    found: Any = None
    shared: bool = False
    """Whether it is more than this user's own affair, so that making the user anew would not mend it."""


def user_in(name: str) -> UserId | None:
    """Returns the user to whom a key or a member belongs: the one whose id it ends with."""
    found = _USER.search(name)
    return None if found is None else UserId(UUID(found.group()))
