"""Time limits for tests, that a busy machine does not shorten."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_STEP = 0.01
"""Seconds between two looks at the time."""

_SHARE = 10
"""How many times as long a limit lasts at most: a process that gets less of a processor has stopped."""


class Limit:
    """The seconds that are left, in which this process gets a processor, as a context.

    A timer that fires late shows that the process had to wait for one, and then so had the servers that it
    uses: a step counts as what it was meant to last, or as a tenth of what it did. There is a timer and no
    task, which a test would count.
    """

    def __init__(self, seconds: float, at_end: Callable[[], None] = lambda: None) -> None:
        """`at_end` is called when they are used up."""
        self._loop = asyncio.get_running_loop()
        self._seconds = self._left = seconds
        self._at_end = at_end

    def __enter__(self) -> Limit:
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    @property
    def over(self) -> bool:
        """Whether they are used up; for what must not be cancelled halfway."""
        return self._left <= 0

    def renew(self) -> None:
        """Begins again, unless it is over: something has moved on."""
        if not self.over:
            self._left = self._seconds

    def _wait(self) -> None:
        self._since = self._loop.time()
        self._timer = self._loop.call_later(min(_STEP, self._left), self._step)

    def _step(self) -> None:
        self._left -= max(_STEP, (self._loop.time() - self._since) / _SHARE)
        if self.over:
            self._at_end()
        else:
            self._wait()


@asynccontextmanager
async def limited(seconds: float) -> AsyncIterator[None]:
    """Limits the time inside as asyncio.timeout does, in the seconds of a Limit. Raises TimeoutError."""
    async with asyncio.timeout(None) as timeout:
        with Limit(seconds, lambda: timeout.reschedule(-math.inf)):
            yield
