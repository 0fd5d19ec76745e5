"""Closes a connection so that its client can read the last response (RFC 9112, 9.6).

A socket that is closed while bytes arrive is reset, and a reset makes the client lose what it has not read
yet. So the writing side is shut down first, and what arrives is discarded until the client closes too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from api.http.protocols.deadline_timer import Deadline

SILENCE_SECONDS: Final = 2.0
"""Seconds without a byte after which the connection closes."""

MAX_SECONDS: Final = 10.0
"""Seconds after which it closes in any case."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes that are discarded, at most."""


class LingeringClose:
    """The end of one connection."""

    def __init__(self, transport: asyncio.Transport, deadline: Deadline, now: float) -> None:
        """Shuts down the writing side once everything has been written. `deadline` closes the connection.

        A connection that the client has reset meanwhile is closed at once.
        """
        self._transport = transport
        self._deadline = deadline
        self._until = now + MAX_SECONDS
        self._discarded = 0
        deadline.set(SILENCE_SECONDS)
        if transport.can_write_eof():  # not over TLS
            try:
                transport.write_eof()
            except OSError:  # asyncio raises it, uvloop does not
                transport.abort()

    def discard(self, size: int, now: float) -> None:
        """Counts bytes that have arrived, and closes when they are too many."""
        self._discarded += size
        if self._discarded > MAX_BYTES:
            self._transport.abort()
        else:
            self._deadline.set(min(SILENCE_SECONDS, max(0.0, self._until - now)))
