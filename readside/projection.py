"""What a projection is: a pure function from what happened to Redis commands on the user's own keys."""

from __future__ import annotations

from datetime import datetime

import msgspec

from domain.events import Event, UserId

Command = tuple[str, ...]
"""A Redis command, or ("REINDEX", index, reverse, member, key): see functions.lua."""


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """An event and its circumstances."""

    user_id: UserId
    version: int
    at: datetime
    event: Event
