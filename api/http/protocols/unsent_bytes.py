"""Limits the bytes of responses that one process holds for clients that do not read them."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

import structlog

HIGH_WATER: Final = 4 * 1024
"""Bytes that a transport may buffer before its connection counts as undrained.

asyncio's 64 KiB would leave 640 MB uncounted on 10,000 connections.
"""

_log = structlog.get_logger(__name__)


class UnsentBytes:
    """The undrained connections of one process: those whose transport has called pause_writing."""

    def __init__(self, limit: int) -> None:
        """`limit`: bytes, of all connections together."""
        self._limit = limit
        self._undrained: dict[asyncio.Transport, float] = {}
        """The time since which each is undrained, in seconds of the monotonic clock."""

    @property
    def bytes(self) -> int:
        """Bytes that were written to undrained transports and that the kernel has not taken."""
        return sum(transport.get_write_buffer_size() for transport in self._undrained)

    def connected(self, transport: asyncio.Transport) -> None:
        """Makes the transport call pause_writing above HIGH_WATER. To be called in connection_made."""
        transport.set_write_buffer_limits(high=HIGH_WATER)

    def paused(self, transport: asyncio.Transport) -> None:
        """Counts a transport, then checks the limit. To be called in pause_writing."""
        self._undrained[transport] = monotonic()
        self.check()

    def resumed(self, transport: asyncio.Transport) -> None:
        """Stops counting a transport. To be called in resume_writing and in connection_lost."""
        self._undrained.pop(transport, None)

    def check(self) -> None:
        """Aborts connections until the rest is within the limit, those with the most bytes x seconds first.

        So a client that reads gets its response although others fill the limit. To be called after each write
        to an undrained transport.
        """
        sizes = {transport: transport.get_write_buffer_size() for transport in self._undrained}
        total, now = sum(sizes.values()), monotonic()
        while total > self._limit:
            worst = max(
                sizes, key=lambda candidate: sizes[candidate] * (now - self._undrained[candidate])
            )
            _log.warning("connection.aborted", unsent_bytes=sizes[worst], unsent_bytes_of_all=total)
            total -= sizes.pop(worst)
            self.resumed(worst)
            worst.abort()
