"""Closes a connection so that its client can read the last response (RFC 9112, 9.6).

A socket that is closed while bytes arrive is reset, and its client loses the bytes that it has not read.
So the writing side is shut down first, and further bytes are discarded until the client closes too.
"""

from __future__ import annotations

import asyncio
from typing import Final

from api.http.protocols.deadline_timer import Deadline

SILENCE_SECONDS: Final = 2.0
"""Seconds without a byte after which the connection closes."""

MAX_SECONDS: Final = 10.0
"""Seconds after which the connection closes in any case."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes that are discarded before the connection is aborted."""


class LingeringClose:
    """The last phase of one connection."""

    def __init__(self, transport: asyncio.Transport, deadline: Deadline, now: float) -> None:
        """Shuts down the writing side once the buffer is written. `deadline` closes the connection."""
        self._transport = transport
        self._deadline = deadline
        self._close_at = now + MAX_SECONDS
        self._discarded = 0
        deadline.set(SILENCE_SECONDS)
        if transport.can_write_eof():  # not over TLS
            try:
                transport.write_eof()
            except OSError:  # asyncio raises it, uvloop does not
                transport.abort()

    def discard(self, size: int, now: float) -> None:
        """Counts bytes that have arrived, and aborts the connection if there are too many."""
        self._discarded += size
        if self._discarded > MAX_BYTES:
            self._transport.abort()
        else:
            self._deadline.set(min(SILENCE_SECONDS, max(0.0, self._close_at - now)))
