"""A deadline that is moved often and passes rarely."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Deadline:
    """Calls `passed` once the loop's time has reached it.

    A later deadline sets no new timer: the one that is set looks at the time when it fires. So a connection
    with many requests in a second sets one timer in a while, not one for each request.
    """

    __slots__ = ("_at", "_fires", "_loop", "_passed", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, passed: Callable[[], None]) -> None:
        self._loop = loop
        self._passed = passed
        self._at = inf
        self._timer: asyncio.TimerHandle | None = None
        self._fires = inf
        """When the timer fires."""

    def set(self, seconds: float) -> None:
        """Sets the deadline to so many seconds from now."""
        self._at = self._loop.time() + seconds
        if self._at < self._fires:
            self._schedule()

    def clear(self) -> None:
        """Removes the deadline; its timer stays until it fires."""
        self._at = inf

    def cancel(self) -> None:
        """Removes the deadline, its timer, and the reference to what would be called."""
        self._at = inf
        self._passed = _ignore
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires = self._at
        self._timer = self._loop.call_at(self._at, self._fire)

    def _fire(self) -> None:
        self._fires = inf
        if self._at == inf:
            return
        if self._loop.time() < self._at:
            self._schedule()
        else:
            self._at = inf
            self._passed()


def _ignore() -> None:
    """Does nothing."""
