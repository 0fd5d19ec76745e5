"""Single-flight cache: concurrent callers share one computation, and its result until it is too old."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Coalesced(Generic[T]):
    """A computation that runs on demand, at most once per `max_age_seconds`."""

    def __init__(
        self, compute: Callable[[], Coroutine[Any, Any, T]], max_age_seconds: float
    ) -> None:
        self._compute = compute
        self._max_age_seconds = max_age_seconds
        self._task: asyncio.Task[T] | None = None
        self._started_at = 0.0

    async def get(self, since: float = 0.0) -> T:
        """Returns the result of the latest computation. Raises what the computation raises.

        Waits for one that begins at `since`, in seconds of time.monotonic(), or later.
        """
        while True:
            now = time.monotonic()
            if self._task is None or (
                self._task.done() and now >= self._started_at + self._max_age_seconds
            ):
                self._started_at = now
                self._task = asyncio.create_task(self._compute())
            started_at, result = self._started_at, await asyncio.shield(self._task)
            if started_at >= since:
                return result
            await asyncio.sleep(started_at + self._max_age_seconds - time.monotonic())
