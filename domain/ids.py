"""Ids: UUIDv7 (RFC 9562), which sort by the time of their creation.

They are instances of asyncpg's UUID class, a subclass of Python's that is parsed and printed in a sixth of
the time (0.08 us instead of 0.5, and 0.04 instead of 0.25): one command converts an id to text seven times.
"""

from __future__ import annotations

import os
import time
from uuid import UUID

from asyncpg.pgproto import pgproto

_TEXT_LENGTH = 36


def new_id() -> UUID:
    """Returns a new UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    octets = bytearray(os.urandom(16))
    octets[:6] = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    octets[6] = 0x70 | octets[6] & 0x0F
    octets[8] = 0x80 | octets[8] & 0x3F
    return pgproto.UUID(bytes(octets))


def parse_id(text: str) -> UUID:
    """Returns the UUID in its usual form, 8-4-4-4-12 hexadecimal digits. Raises ValueError."""
    if len(text) != _TEXT_LENGTH:  # checked first: the error of pgproto would hold the whole text
        raise ValueError
    parsed = pgproto.UUID(text)
    if str(parsed) != text.lower():  # pgproto accepts other forms too
        raise ValueError
    return parsed
