"""Stop signals (SIGINT, SIGTERM) as an asyncio event."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from api.runtime.background import cancel_all

T = TypeVar("T")


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Yields an event that SIGINT and SIGTERM set; further signals have no effect during the shutdown."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def run_until(stop: asyncio.Event, coroutine: Coroutine[Any, Any, T]) -> T | None:
    """Returns the result of the coroutine, or cancels it and returns None if `stop` is set first.

    An error that the coroutine raises after `stop` is dropped.
    """
    task = asyncio.create_task(coroutine)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if task.done():
        return task.result()
    await cancel_all([task])
    _ = task.cancelled() or task.exception()  # retrieved, so that asyncio does not log it
    return None
