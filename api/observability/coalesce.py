"""Something that is made when it is asked for; whoever asks within a while shares it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Coalesced(Generic[T]):
    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]], fresh: float) -> None:
        """`fresh`: seconds for which what was made last will do."""
        self._make = make
        self._fresh = fresh
        self._making: asyncio.Task[T] | None = None
        self._begun = -fresh

    async def get(self) -> T:
        """Raises what making it raises."""
        now = time.monotonic()
        if self._making is None or (self._making.done() and now >= self._begun + self._fresh):
            self._begun = now
            self._making = asyncio.create_task(self._make())
        return await asyncio.shield(self._making)
