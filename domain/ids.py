"""Ids: UUIDv7 (RFC 9562), so that ids sort by the time they were made.

They are asyncpg's UUIDs, which are Python's, but read and written in a sixth of the time (0.08 us instead of
0.5, and 0.04 instead of 0.25): for one command an id becomes text seven times.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from asyncpg.pgproto import pgproto

if TYPE_CHECKING:
    from uuid import UUID

_LENGTH = 36


def new_id() -> UUID:
    """A new UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    made = bytearray(os.urandom(16))
    made[:6] = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    made[6] = 0x70 | made[6] & 0x0F
    made[8] = 0x80 | made[8] & 0x3F
    return pgproto.UUID(bytes(made))


def id_in(text: str) -> UUID:
    """The id of a text in the usual form, 8-4-4-4-12 hexadecimal digits. Raises ValueError."""
    if len(text) != _LENGTH:  # else an error would hold all of it
        raise ValueError
    found = pgproto.UUID(text)
    if str(found) != text.lower():  # it takes other forms too
        raise ValueError
    return found
