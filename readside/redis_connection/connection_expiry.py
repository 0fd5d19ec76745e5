"""When connections to Redis are replaced: all that a process has to one address, at once."""

from __future__ import annotations

import time

NOT_PRIMARY = ("READONLY", "MASTERDOWN", "UNBLOCKED")
"""How errors begin of a server that has become a replica; UNBLOCKED ends what waits while it does."""

_PAUSE = 1.0
"""Seconds between two suspicions: a connection that was made since may lead to another server."""


class ConnectionExpiry:
    """Counts; a connection that was begun under an earlier count is closed before its next use."""

    def __init__(self) -> None:
        self.count = 0
        self._at = -_PAUSE

    def expire(self) -> None:
        self.count += 1
        self._at = time.monotonic()

    def suspect(self) -> None:
        """Expires, but not again and again: as long as the address leads to a replica every write says so."""
        if time.monotonic() >= self._at + _PAUSE:
            self.expire()
