"""Connections to PostgreSQL for those who need one often: passed on to who waits, or kept for who comes next.

asyncpg's pool makes them and bounds their number. Taking one from it and giving it back costs 15 to 35 us of
CPU, for a task and three timers: as much as a statement.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

_RELEASE_TIMEOUT_SECONDS = 1.0
"""Seconds that PostgreSQL has to end a statement that was given up; then its connection is closed."""

_KEEP_SECONDS = 0.1
"""Seconds after which one goes back to the pool, as soon as it is free: others may wait there."""

_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""How asyncpg tells that a connection is not what it was; TimeoutError is an OSError too."""


NO_WRITES = (
    "PostgreSQL takes no writes: it is a standby, or was made read-only for a failover;"
    " let DATABASE_URL lead to the primary."
)


NOT_PRIMARY = (asyncpg.ReadOnlySQLTransactionError, asyncpg.TargetServerAttributeNotMatched)
"""What asyncpg raises where no server takes writes."""


class _Waiter(NamedTuple):
    told: asyncio.Future[PoolConnectionProxy | None]
    until: float


class ConnectionPool:
    """Those that were taken from a pool and are not yet given back."""

    def __init__(self, pool: asyncpg.Pool, *, patience: float, kept: float = _KEEP_SECONDS) -> None:
        """`patience`: seconds to wait for one. `kept`: how long the pool does not see it again."""
        self._pool = pool
        self._patience = patience
        self._kept = kept
        self._taken = 0
        self._waiting: deque[_Waiter] = deque()
        """Those who found all taken. One who is told None takes another from the pool, in the same place."""
        self._timer: asyncio.TimerHandle | None = None
        self._free: list[PoolConnectionProxy] = []
        """The last one in is the first one out, so those that are not needed go back."""
        self._kept_until: dict[PoolConnectionProxy, float] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._going: set[asyncio.Task[None]] = set()

    async def fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """The rows of a statement on the primary. Raises what `take`, the check and asyncpg raise."""
        connection = await self.take()
        sound = False
        try:
            rows = await connection.fetch(statement, *arguments)
            await self.require_writable(connection)
            sound = True
        finally:
            await self.give(connection, sound=sound)
        return rows

    async def require_writable(self, connection: PoolConnectionProxy) -> None:
        """Raises ReadOnlySQLTransactionError, and expires all connections, if the server takes no writes."""
        if takes_no_writes(connection):
            await self.expire()
            raise asyncpg.ReadOnlySQLTransactionError(NO_WRITES)

    async def expire(self) -> None:
        """Has each connection of the pool replaced before its next use, so the address is dialled again."""
        await self._pool.expire_connections()
        self._kept_until = dict.fromkeys(self._kept_until, 0.0)
        if self._sweep is not None:
            self._sweep.cancel()
            self._let_go()

    async def take(self) -> PoolConnectionProxy:
        """One that is free, in the order of asking.

        Raises TimeoutError, and what asyncpg does when there is none to be had.
        """
        while self._free:
            connection = self._free.pop()
            if not is_lost(connection):
                return connection
            await self._return(connection)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        if self._taken < self._pool.get_max_size():
            self._taken += 1
        elif (passed_on := await self._turn(until)) is not None:
            return passed_on
        try:
            async with asyncio.timeout_at(until):
                connection = await self._pool.acquire()
        except BaseException:
            self._one_less()
            raise
        self._kept_until[connection] = loop.time() + self._kept
        return connection

    async def give(self, connection: PoolConnectionProxy, *, sound: bool) -> None:
        """To whoever waits longest, if it is sound; else to the pool, which knows what to do with it."""
        if not sound or self._kept_until[connection] <= asyncio.get_running_loop().time():
            await self._return(connection)
        elif not self._tell(connection):
            self._free.append(connection)
            self._look_at_the_free()

    def _look_at_the_free(self) -> None:
        """Whose time is over goes back to the pool."""
        if self._sweep is None:
            until = min(self._kept_until[connection] for connection in self._free)
            self._sweep = asyncio.get_running_loop().call_at(until, self._let_go)

    def _let_go(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = None
        for connection in [each for each in self._free if self._kept_until[each] <= loop.time()]:
            self._free.remove(connection)
            task = loop.create_task(self._return(connection))
            self._going.add(task)
            task.add_done_callback(self._going.discard)
        if self._free:
            self._look_at_the_free()

    async def _return(self, connection: PoolConnectionProxy) -> None:
        try:
            # What goes wrong here concerns nobody: then it is closed, and the pool makes another.
            with suppress(*_LOST):
                await self._pool.release(connection, timeout=_RELEASE_TIMEOUT_SECONDS)
        finally:
            del self._kept_until[connection]
            self._one_less()

    async def _turn(self, until: float) -> PoolConnectionProxy | None:
        loop = asyncio.get_running_loop()
        turn = _Waiter(loop.create_future(), until)
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


async def require_writable(pool: asyncpg.Pool) -> None:
    """Raises ReadOnlySQLTransactionError, and expires the pool, if its server takes no writes."""
    if await pool.fetchval("select current_setting('transaction_read_only')::bool"):
        await pool.expire_connections()
        raise asyncpg.ReadOnlySQLTransactionError(NO_WRITES)


def takes_no_writes(connection: PoolConnectionProxy) -> bool:
    """Whether the server has said so with its last reply, as it does after a reload that fences it.

    PostgreSQL reports a changed `default_transaction_read_only` before the end of the next statement's reply.
    """
    try:
        return bool(connection.get_settings().default_transaction_read_only == "on")
    except (asyncpg.InterfaceError, AttributeError):
        return False  # it is lost, or a pooler has not said


def is_lost(connection: PoolConnectionProxy) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True  # the pool takes a lost connection from its borrower, who may not even ask this then
