"""When the connections to Redis are replaced: all connections of a process to one address together."""

from __future__ import annotations

import time

NOT_PRIMARY = ("READONLY", "MASTERDOWN", "UNBLOCKED")
"""Prefixes of the errors of a server that has become a replica; UNBLOCKED ends its blocking reads."""

_MIN_INTERVAL_SECONDS = 1.0
"""Minimum between two suspicions: a connection made since then may lead to another server."""


class ConnectionExpiry:
    """A count; a connection that was begun under an earlier count is closed before its next use."""

    def __init__(self) -> None:
        self.count = 0
        self._expired_at = -_MIN_INTERVAL_SECONDS

    def expire(self) -> None:
        self.count += 1
        self._expired_at = time.monotonic()

    def suspect(self) -> None:
        """Expires, but not repeatedly: while the address leads to a replica every write calls this."""
        if time.monotonic() >= self._expired_at + _MIN_INTERVAL_SECONDS:
            self.expire()
