"""Group commit: creates that arrive while others are being written form the next group, in one statement.

A statement costs PostgreSQL and this process three times what a row in it costs, and its COMMIT waits for the
disk. So few are in flight at a time, and a lone create is not delayed. Only creates are grouped: no two of
them wait for the same row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import asyncpg

from domain.write.bulk_insert import build_bulk_insert
from domain.write.database import WriteDatabase, WriteModelUnavailable
from domain.write.sql import Write, build_write

MAX_IN_FLIGHT = 2
"""Statements in flight. With one, a second create would wait for a COMMIT that is not its own."""

MAX_GROUP_SIZE = 64
"""Creates in a group."""

_MAX_WAIT_SECONDS = 0.1
"""Seconds that a group waits for those before it, which may be waiting for another transaction."""


class GroupCommit:
    """Writes what commands change; creates in groups."""

    def __init__(self, database: WriteDatabase) -> None:
        self._database = database
        self._in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._open: dict[object, _Group] = {}
        """The groups that the next creates join, by what the creates of a group have in common."""

    async def write(self, write: Write) -> bool:
        """Writes rows and events; returns False if the aggregate has changed since it was loaded.

        Raises WriteModelUnavailable, and what asyncpg raises for violations and conflicts.
        """
        group = write.group
        if group is not None and await self._write_in_group(group, write):
            return True
        return await self._write_alone(write)

    async def _write_alone(self, write: Write) -> bool:
        return bool(await self._database.write(*build_write(write)))

    async def _write_in_group(self, key: object, write: Write) -> bool:
        """Returns whether the aggregate was created; if not, the write must be retried alone."""
        group = self._open.get(key)
        if group is None or not group.accepts_more:
            group = self._open[key] = _Group()
            group.task = asyncio.create_task(self._commit_in_turn(key, group))
        return await group.join(write)

    async def _commit_in_turn(self, key: object, group: _Group) -> None:
        has_turn = await self._wait_for_turn()
        if self._open.get(key) is group:
            del self._open[key]
        try:
            group.resolve(await self._commit(group.writes))
        except Exception as error:
            group.fail(error)
        finally:
            if has_turn:
                self._in_flight.release()

    async def _wait_for_turn(self) -> bool:
        """Returns False after the longest wait; then the group takes one more connection."""
        try:
            async with asyncio.timeout(_MAX_WAIT_SECONDS):
                return await self._in_flight.acquire()
        except TimeoutError:
            return False

    async def _commit(self, writes: Sequence[Write]) -> Collection[object]:
        """Returns the ids of the aggregates that were created."""
        if len(writes) == 1:
            return [write.after.id for write in writes if await self._write_alone(write)]
        try:
            created = await self._database.write(*build_bulk_insert(writes))
        except WriteModelUnavailable as error:
            if isinstance(error.__cause__, asyncpg.LockNotAvailableError):
                return ()
            raise
        except asyncpg.ReadOnlySQLTransactionError:
            raise  # which concerns all of them
        except (asyncpg.PostgresError, asyncpg.InterfaceError):
            return ()  # rolled back as a whole, because of one of them
        return {row["id"] for row in created}


class _Group:
    """Creates that are written together. If all of them are cancelled, so is the statement."""

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self.task: asyncio.Task[None]
        self._results: list[asyncio.Future[bool]] = []

    @property
    def accepts_more(self) -> bool:
        """False also if all creates were cancelled while the group waited for its turn."""
        return len(self.writes) < MAX_GROUP_SIZE and not self.task.cancelling()

    async def join(self, write: Write) -> bool:
        """Returns whether the aggregate was created. Raises what the commit raises."""
        result: asyncio.Future[bool] = asyncio.Future()
        self.writes.append(write)
        self._results.append(result)
        try:
            return await result
        except asyncio.CancelledError:
            if all(other.cancelled() for other in self._results):
                self.task.cancel()
                await asyncio.wait([self.task])
            raise

    def resolve(self, created: Collection[object]) -> None:
        for write, result in zip(self.writes, self._results, strict=True):
            if not result.done():
                result.set_result(write.after.id in created)

    def fail(self, error: Exception) -> None:
        for result in self._results:
            if not result.done():
                result.set_exception(error)
