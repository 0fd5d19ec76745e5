"""Shares one execution among the calls that all watchers of an aggregate make when it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class SharedCalls:
    """Calls with the same key that begin in the same turn of the event loop share one execution.

    A later call never joins an earlier one: what it reads must be as new as the notification that caused it.
    """

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}

    async def __call__(self, key: Hashable, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Returns the result of the call that was the first with this key, or raises its error."""
        task = self._tasks.get(key)
        if task is None:
            loop = asyncio.get_running_loop()
            task = self._tasks[key] = loop.create_task(call())
            task.add_done_callback(_retrieve_error)
            loop.call_soon(self._tasks.pop, key)
        return await asyncio.shield(task)  # others wait for it too


def _retrieve_error(task: asyncio.Task[Any]) -> None:
    """Keeps asyncio from logging an error that no caller waits for any more."""
    if not task.cancelled():
        task.exception()
