"""The time that a client has to read what was written to its connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_MIN_PROGRESS_BYTES = 16 * 1024
"""Bytes that a client must have read to get the same time again."""


class WriteTimeout:
    """One timer of one connection: while its buffer is too full to write, or is flushed before closing."""

    def __init__(self, transport: asyncio.Transport, timeout: float) -> None:
        """`timeout` is in seconds."""
        self._transport = transport
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None
        self._is_disabled = False

    def start(self, on_timeout: Callable[[], None]) -> None:
        """Calls `on_timeout` when the client has read too little in time."""
        self.stop()
        if self._is_disabled:
            return
        unsent = self._transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._timeout, self._on_timer, unsent, on_timeout)

    def abort_unless_flushed(self) -> None:
        """Aborts a transport that is closing when the client reads too little of its buffer in time."""
        self.start(self._transport.abort)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def disable(self) -> None:
        """Stops for good: the connection is lost, or belongs to another protocol."""
        self.stop()
        self._is_disabled = True

    def _on_timer(self, unsent_before: int, on_timeout: Callable[[], None]) -> None:
        unsent = self._transport.get_write_buffer_size()
        if unsent == 0:
            return  # a lingering close has its own deadline
        if unsent_before - unsent >= _MIN_PROGRESS_BYTES:
            self.start(on_timeout)
        else:
            on_timeout()
