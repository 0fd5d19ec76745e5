"""How long a connection waits for a client that does not read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_MIN_PROGRESS_BYTES = 16 * 1024
"""Bytes that a client must have read meanwhile to be waited for again."""


class WriteTimeout:
    """One timer of one connection: while its buffer is too full to write, or is flushed at the end."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._is_lost = False

    def begin(self, give_up: Callable[[], None]) -> None:
        """Calls `give_up` when too little was read in time."""
        self.end()
        if self._is_lost:
            return
        size = self._transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds, self._look, size, give_up)

    def linger(self) -> None:
        """The transport closes once its buffer is flushed; if too little of it is read, at once."""
        self.begin(self._transport.abort)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def lose(self) -> None:
        """The connection is lost, or not ours any more: there is nothing left to wait for."""
        self.end()
        self._is_lost = True

    def _look(self, size: int, give_up: Callable[[], None]) -> None:
        left = self._transport.get_write_buffer_size()
        if left == 0:
            return  # a connection that lingers has a deadline of its own
        if size - left >= _MIN_PROGRESS_BYTES:
            self.begin(give_up)
        else:
            give_up()
