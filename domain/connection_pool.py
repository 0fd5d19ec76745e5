"""A pool of PostgreSQL connections on top of asyncpg's, for callers that need one for every statement.

A released connection goes to the longest waiter, or is kept briefly for the next caller. asyncpg's pool
connects and limits the number of connections; acquiring from it and releasing to it costs 15 to 35 us of
CPU, for a task and three timers: as much as a statement.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

import asyncpg
from asyncpg.pool import PoolConnectionProxy

_RELEASE_TIMEOUT_SECONDS = 1.0
"""Seconds that PostgreSQL has to end an abandoned statement before its connection is closed."""

_MAX_HOLD_SECONDS = 0.1
"""Seconds after which a connection returns to asyncpg's pool once it is free: others may wait there."""

CONNECTION_ERRORS = (
    OSError,  # TimeoutError too
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What asyncpg raises when PostgreSQL is unavailable, or ends a connection in the middle of a statement."""

NO_WRITES = (
    "PostgreSQL takes no writes: it is a standby, or was made read-only for a failover;"
    " let DATABASE_URL lead to the primary."
)

NOT_PRIMARY = (asyncpg.ReadOnlySQLTransactionError, asyncpg.TargetServerAttributeNotMatched)
"""What asyncpg raises when no server accepts writes."""


class ConnectionPool:
    """Connections acquired from an asyncpg pool and not yet released to it.

    Every caller that has, or acquires, a connection holds one of `max_size` slots.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        timeout_seconds: float,
        max_hold_seconds: float = _MAX_HOLD_SECONDS,
    ) -> None:
        """`timeout_seconds`: how long `acquire` waits."""
        self._pool = pool
        self._timeout_seconds = timeout_seconds
        self._max_hold_seconds = max_hold_seconds
        self._used_slots = 0
        self._waiters: deque[asyncio.Future[PoolConnectionProxy | None]] = deque()
        """In order of arrival. A waiter that gets None has a slot and acquires another connection."""
        self._free: list[PoolConnectionProxy] = []
        """Last in, first out, so that surplus connections return to asyncpg's pool."""
        self._hold_until: dict[PoolConnectionProxy, float] = {}
        self._returning: asyncio.Task[None] | None = None

    async def fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Returns the rows of a statement on the primary. Raises TimeoutError, and what asyncpg raises."""
        connection = await self.acquire()
        sound = False
        try:
            rows = await connection.fetch(statement, *arguments)
            refuse_read_only(connection)
            sound = True
        finally:
            await self.release(connection, sound=sound)
        return rows

    async def expire(self) -> None:
        """Replaces every connection before its next use, so that the host name is resolved again."""
        await self._pool.expire_connections()
        self._hold_until = dict.fromkeys(self._hold_until, 0.0)
        await self._return_free()

    async def acquire(self) -> PoolConnectionProxy:
        """Returns a connection, first come, first served. Raises TimeoutError, and what asyncpg raises."""
        while self._free:
            connection = self._free.pop()
            if not is_lost(connection):
                return connection
            await self._return(connection)
        async with asyncio.timeout(self._timeout_seconds):
            if self._used_slots < self._pool.get_max_size():
                self._used_slots += 1
            elif (handed_over := await self._wait()) is not None:
                return handed_over
            try:
                connection = await self._pool.acquire()
            except BaseException:
                self._free_slot()
                raise
        self._hold_until[connection] = asyncio.get_running_loop().time() + self._max_hold_seconds
        return connection

    async def release(self, connection: PoolConnectionProxy, *, sound: bool) -> None:
        """Hands a sound connection to the longest waiter or keeps it; returns others to asyncpg's pool."""
        loop = asyncio.get_running_loop()
        if not sound or self._hold_until[connection] <= loop.time():
            await self._return(connection)
        elif not self._hand_over(connection):
            self._free.append(connection)
            if self._returning is None or self._returning.done():
                self._returning = loop.create_task(self._return_free(self._max_hold_seconds))

    async def _return_free(self, delay_seconds: float = 0.0) -> None:
        if delay_seconds:
            await asyncio.sleep(delay_seconds)
        while self._free:
            await self._return(self._free.pop())

    async def _return(self, connection: PoolConnectionProxy) -> None:
        try:
            # An error concerns no caller: the connection is closed, and asyncpg's pool makes another.
            with suppress(*CONNECTION_ERRORS):
                await self._pool.release(connection, timeout=_RELEASE_TIMEOUT_SECONDS)
        finally:
            del self._hold_until[connection]
            self._free_slot()

    async def _wait(self) -> PoolConnectionProxy | None:
        waiter: asyncio.Future[PoolConnectionProxy | None] = asyncio.Future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # handed over in the same loop turn in which the wait ended
                if (connection := waiter.result()) is None:
                    self._free_slot()
                else:
                    await self.release(connection, sound=True)
            raise

    def _free_slot(self) -> None:
        """Transfers the slot to the longest waiter; a newcomer cannot take it before that one resumes."""
        if not self._hand_over(None):
            self._used_slots -= 1

    def _hand_over(self, connection: PoolConnectionProxy | None) -> bool:
        """Returns whether there was a waiter."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False


async def require_writable(pool: asyncpg.Pool) -> None:
    """Raises ReadOnlySQLTransactionError if the server is read-only."""
    if await pool.fetchval("select current_setting('transaction_read_only')::bool"):
        raise asyncpg.ReadOnlySQLTransactionError(NO_WRITES)


def refuse_read_only(connection: PoolConnectionProxy) -> None:
    """Raises ReadOnlySQLTransactionError if the server has reported itself read-only on this connection.

    It does after a reload that fences it: PostgreSQL reports a changed `default_transaction_read_only` before
    the end of the next statement's reply.
    """
    with suppress(
        asyncpg.InterfaceError, AttributeError
    ):  # lost, or a pooler does not report the setting
        if connection.get_settings().default_transaction_read_only == "on":
            raise asyncpg.ReadOnlySQLTransactionError(NO_WRITES)


def is_lost(connection: PoolConnectionProxy) -> bool:
    """Returns whether the connection is closed."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True  # asyncpg's pool has detached the lost connection from its proxy
