"""Queries a store for monitoring, with a time limit that holds even if the store does not respond."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from api.server_urls import first_line

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 0.9
"""Time limit of one query, so that the status of both stores takes less than 2 seconds."""


class Probe(Generic[T]):
    """A query of which at most one is in flight; the next starts after the previous one has ended.

    A query that exceeds the time limit is not cancelled: asyncpg would wait for the silent server to confirm,
    and each query in flight holds a connection.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[T] | None = None
        self._started_at = 0.0

    async def run(self, query: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T | None, str | None]:
        """Returns the result and None, or None and the driver's error, which must not reach clients."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        if self._task is not None:  # an earlier query, whose result would be too old
            await asyncio.wait([self._task], timeout=TIMEOUT_SECONDS)
        if self._task is None or self._task.done():
            self._task, self._started_at = asyncio.create_task(query()), time.monotonic()
            self._task.add_done_callback(_retrieve_exception)
            await asyncio.wait([self._task], timeout=max(0.0, deadline - time.monotonic()))
        if not self._task.done():
            return (
                None,
                f"it has not answered for {time.monotonic() - self._started_at:.1f} seconds",
            )
        try:
            return self._task.result(), None
        except Exception as error:  # monitoring reports every error and fails on none
            return None, f"{type(error).__name__}: {first_line(str(error))}"[:200]


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    """Keeps asyncio from logging the error of a query whose caller has already given up."""
    if not task.cancelled():
        task.exception()
