"""A deadline that is set often and rarely reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf


class Deadline:
    """Calls `on_deadline` once the time of the event loop has reached it.

    A later deadline starts no new timer: the present one checks the deadline when it fires. So a connection
    with many requests in a second does not start a timer for each request.
    """

    __slots__ = ("_at", "_fires_at", "_loop", "_on_deadline", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_deadline: Callable[[], None]) -> None:
        self._loop = loop
        self._on_deadline = on_deadline
        self._at = inf
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = inf
        """The time at which the timer fires; infinity if it is not set."""

    def set(self, seconds: float) -> None:
        """Sets the deadline, in seconds from now."""
        self._at = self._loop.time() + seconds
        if self._at < self._fires_at:
            self._schedule()

    def clear(self) -> None:
        """Removes the deadline; the timer remains until it fires."""
        self._at = inf

    def cancel(self) -> None:
        """Removes the deadline, the timer, and the reference to the callback."""
        self._at = inf
        self._on_deadline = _ignore
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = self._at
        self._timer = self._loop.call_at(self._at, self._on_timer)

    def _on_timer(self) -> None:
        self._fires_at = inf
        if self._at == inf:
            return
        if self._loop.time() < self._at:
            self._schedule()
        else:
            self._at = inf
            self._on_deadline()


def _ignore() -> None:
    """Does nothing."""
