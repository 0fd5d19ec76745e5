"""Connections to PostgreSQL for commands, which are passed on from one to the next.

asyncpg's pool makes them and bounds their number. Taking one and giving it back costs a command 35 us of CPU,
for a task and three timers; so whoever waits for one gets that of whoever is done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

_RETURNING = 1.0
"""Seconds that PostgreSQL has to end a statement that was given up; then its connection is closed."""


class _Turn(NamedTuple):
    told: asyncio.Future[PoolConnectionProxy | None]
    until: float


class Connections:
    """Those of a pool that is for commands alone: under load the pool sees none of them again."""

    def __init__(self, pool: asyncpg.Pool, *, patience: float) -> None:
        """`patience`: seconds to wait for one."""
        self._pool = pool
        self._patience = patience
        self._taken = 0
        self._waiting: deque[_Turn] = deque()
        """Those who found all taken. One who is told None takes another from the pool, in the same place."""
        self._timer: asyncio.TimerHandle | None = None

    async def take(self) -> PoolConnectionProxy:
        """One that is free, in the order of asking.

        Raises TimeoutError, and what asyncpg does when there is none to be had.
        """
        until = asyncio.get_running_loop().time() + self._patience
        if self._taken < self._pool.get_max_size():
            self._taken += 1
        elif (passed_on := await self._turn(until)) is not None:
            return passed_on
        try:
            async with asyncio.timeout_at(until):
                return await self._pool.acquire()
        except BaseException:
            self._one_less()
            raise

    async def give(self, connection: PoolConnectionProxy, *, sound: bool) -> None:
        """To whoever waits longest, if it is sound; else to the pool, which knows what to do with it."""
        if sound and self._tell(connection):
            return
        try:
            # A statement that was given up may not end; its connection does.
            with suppress(TimeoutError):
                await self._pool.release(connection, timeout=_RETURNING)
        finally:
            self._one_less()

    async def _turn(self, until: float) -> PoolConnectionProxy | None:
        loop = asyncio.get_running_loop()
        turn = _Turn(loop.create_future(), until)
        self._waiting.append(turn)
        if self._timer is None:
            self._timer = loop.call_at(until, self._look)
        try:
            return await turn.told
        except asyncio.CancelledError:
            if turn.told.done() and not turn.told.cancelled() and turn.told.exception() is None:
                # It came in the very moment in which nobody wanted it any more.
                await self._leave(turn.told.result())
            raise

    def _look(self) -> None:
        """Tells who has waited too long, and looks again when the next one has: all wait equally long."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._waiting and (
            self._waiting[0].told.done() or self._waiting[0].until <= loop.time()
        ):
            turn = self._waiting.popleft()
            if not turn.told.done():
                turn.told.set_exception(TimeoutError())
        if self._waiting:
            self._timer = loop.call_at(self._waiting[0].until, self._look)

    async def _leave(self, told: PoolConnectionProxy | None) -> None:
        if told is None:
            self._one_less()
        else:
            await self.give(told, sound=True)

    def _one_less(self) -> None:
        """Whoever waits longest has the place at once: who comes before he has woken must not take it."""
        if not self._tell(None):
            self._taken -= 1

    def _tell(self, what: PoolConnectionProxy | None) -> bool:
        """Whether anybody was still waiting."""
        while self._waiting:
            told = self._waiting.popleft().told
            if not told.done():
                told.set_result(what)
                return True
        return False
