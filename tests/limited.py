"""Time limits for tests, that a busy machine does not shorten."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_STEP = 0.01
"""Seconds between two looks at the time."""

_SHARE = 10
"""How many times as long a limit lasts at most: a process that gets less of a processor has stopped."""


class Limit:
    """A timeout and the time that is left; a timer, and no task that a test would count."""

    def __init__(self, timeout: asyncio.Timeout, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._seconds = self._left = seconds
        self._wait()

    def renew(self) -> None:
        """Begins again: something has moved on."""
        self._left = self._seconds

    def stop(self) -> None:
        self._timer.cancel()

    def _wait(self) -> None:
        self._since = self._loop.time()
        self._timer = self._loop.call_later(min(_STEP, self._left), self._step)

    def _step(self) -> None:
        self._left -= max(_STEP, (self._loop.time() - self._since) / _SHARE)
        if self._left > 0:
            self._wait()
        else:
            self._timeout.reschedule(-math.inf)


@asynccontextmanager
async def limited(seconds: float) -> AsyncIterator[Limit]:
    """Limits the time inside as asyncio.timeout does, in seconds in which this process gets a processor.

    A timer that fires late shows that the process had to wait for one, and then so had the servers that it
    uses: a step counts as what it was meant to last, or as a tenth of what it did. Raises TimeoutError.
    """
    async with asyncio.timeout(None) as timeout:
        limit = Limit(timeout, seconds)
        try:
            yield limit
        finally:
            limit.stop()
