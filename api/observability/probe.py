"""Asking a store how things are, without waiting for it when it says nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from api.server_urls import first_line

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 0.9
"""Seconds that a store has to answer: a look at both takes less than 2."""


class Probe(Generic[T]):
    """Put to a store, and not again before it was answered or given up by the driver.

    Cancelling does not help: asyncpg would wait for a silent server to hear of it, and each question that
    is under way has a connection.
    """

    def __init__(self) -> None:
        self._asked: asyncio.Task[T] | None = None
        self._since = 0.0

    async def answer(
        self, ask: Callable[[], Coroutine[Any, Any, T]]
    ) -> tuple[T | None, str | None]:
        """The answer, or why there is none: in the words of the driver, so not for clients."""
        gives_up = time.monotonic() + TIMEOUT_SECONDS
        if self._asked is not None:  # whatever it comes to, it is the answer to an earlier question
            await asyncio.wait([self._asked], timeout=TIMEOUT_SECONDS)
        if self._asked is None or self._asked.done():
            self._asked, self._since = asyncio.create_task(ask()), time.monotonic()
            self._asked.add_done_callback(_heard)
            await asyncio.wait([self._asked], timeout=max(0.0, gives_up - time.monotonic()))
        if not self._asked.done():
            return None, f"it has not answered for {time.monotonic() - self._since:.1f} seconds"
        try:
            return self._asked.result(), None
        except Exception as error:  # whatever it is: who watches is told, and never falls over it
            return None, f"{type(error).__name__}: {first_line(str(error))}"[:200]


def _heard(asked: asyncio.Task[Any]) -> None:
    """An answer that comes when nobody waits for it any more is no surprise."""
    if not asked.cancelled():
        asked.exception()
