"""Ids: UUIDv7 (RFC 9562), which sort by the time of their creation.

They are instances of asyncpg's UUID class, a subclass of Python's that is parsed and printed in a sixth of
the time (0.08 us instead of 0.5, and 0.04 instead of 0.25): one command converts an id to text seven times.
"""

from __future__ import annotations

import os
import time
from typing import Final
from uuid import UUID

from asyncpg.pgproto import pgproto

Id: Final = pgproto.UUID
"""Makes an id of its text, in any form, or of 16 bytes."""


def new_id() -> UUID:
    """Returns a new UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    octets = bytearray(os.urandom(16))
    octets[:6] = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    octets[6] = 0x70 | octets[6] & 0x0F
    octets[8] = 0x80 | octets[8] & 0x3F
    return Id(bytes(octets))
