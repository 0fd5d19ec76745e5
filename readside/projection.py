"""What a projection is: a pure function from what happened to Redis commands on the user's own keys.

It cannot read Redis: for what depends on the value before there are REINDEX (see emails.py) and REMEMBER (see
users.py). And a user may be
projected anew from its first event while old keys are still there, so UserCreated begins from nothing.
"""

from __future__ import annotations

import msgspec

from domain.users.events import Event

Command = tuple[str, ...]
"""A Redis command, or a verb of functions.lua: ("REINDEX", index, reverse, member, key) or ("REMEMBER", list,
hash, how many, version, field, *other fields of the hash)."""


class ProjectedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event and its circumstances."""

    user: str
    """The user's id."""
    version: int
    at: str
    """When, as `moment` in moments.py returns it."""
    event: Event
