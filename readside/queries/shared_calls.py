"""Shares one execution among the calls that all watchers of an aggregate make when it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class SharedCalls:
    """Calls with the same key that begin in the same turn of the event loop share one execution.

    A later call never joins an earlier one: what it reads must be as new as the notification that caused it.
    """

    def __init__(self) -> None:
        self._callers: dict[Hashable, list[asyncio.Future[Any]]] = {}
        """The callers that the call of this turn resolves."""
        self._running: set[asyncio.Task[Any]] = set()

    async def __call__(self, key: Hashable, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Returns the result of the call that was the first with this key, or raises its error."""
        loop = asyncio.get_running_loop()
        caller: asyncio.Future[T] = loop.create_future()
        callers = self._callers.get(key)
        if callers is None:
            callers = self._callers[key] = []
            loop.call_soon(self._callers.pop, key)
            task = loop.create_task(call())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            task.add_done_callback(partial(_resolve, callers))
        callers.append(caller)
        return await caller


def _resolve(callers: list[asyncio.Future[T]], task: asyncio.Task[T]) -> None:
    """Passes the outcome on to each caller that still waits for it."""
    waiting = [caller for caller in callers if not caller.done()]
    if task.cancelled():
        for caller in waiting:
            caller.cancel()
    elif (error := task.exception()) is not None:
        for caller in waiting:
            caller.set_exception(error)
    else:
        result = task.result()
        for caller in waiting:
            caller.set_result(result)
