"""Group commit: creations that come while others are being written are written together, in one statement.

A statement costs PostgreSQL and us three times what a row in it costs, and its COMMIT waits for the disk. So
few are under way at a time, and who comes meanwhile makes up the next group. Whoever comes alone waits for
nobody. Creations alone go together: no two of them wait for the same row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from domain.write.rows import Write

MAX_IN_FLIGHT = 2
"""Statements under way. With one, whoever comes second waits for a COMMIT that is not his own."""

MAX_GROUP_SIZE = 64
"""Creations in a group."""

_MAX_WAIT_SECONDS = 0.1
"""Seconds that a group waits for those before it: they may have to wait for somebody else's transaction."""

Commit = Callable[[Sequence[Write]], Awaitable[Collection[object]]]
"""Writes a group, and answers the ids of whom it wrote. What it raises is raised to all of the group."""


class GroupCommit:
    """The group that whoever comes now belongs to, and those that are under way."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._turns = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._open: _Group | None = None

    async def write(self, write: Write) -> bool:
        """Whether it was written; if not, it is to be tried alone. Raises what the commit raises."""
        group = self._open
        if group is None or not group.takes_more:
            group = self._open = _Group()
            group.task = asyncio.create_task(self._carry(group))
        return await group.join(write)

    async def _carry(self, group: _Group) -> None:
        in_turn = await self._turn()
        if self._open is group:
            self._open = None
        try:
            group.tell(await self._commit(group.writes))
        except Exception as error:
            group.fail(error)
        finally:
            if in_turn:
                self._turns.release()

    async def _turn(self) -> bool:
        """Whether there was one in time. Who goes without takes one more connection."""
        try:
            async with asyncio.timeout(_MAX_WAIT_SECONDS):
                return await self._turns.acquire()
        except TimeoutError:
            return False


class _Group:
    """Those who are written together. If all of them have gone, so has the statement."""

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self.task: asyncio.Task[None]
        self._told: list[asyncio.Future[bool]] = []

    @property
    def takes_more(self) -> bool:
        """One that all have left while it waited for its turn is as good as gone, though it is still open."""
        return len(self.writes) < MAX_GROUP_SIZE and not self.task.cancelling()

    async def join(self, write: Write) -> bool:
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.writes.append(write)
        self._told.append(told)
        try:
            return await told
        except asyncio.CancelledError:
            if all(each.cancelled() for each in self._told):
                self.task.cancel()
                await asyncio.wait([self.task])
            raise

    def tell(self, written: Collection[object]) -> None:
        for write, told in zip(self.writes, self._told, strict=True):
            if not told.done():
                told.set_result(write.user_id in written)

    def fail(self, error: Exception) -> None:
        for told in self._told:
            if not told.done():
                told.set_exception(error)
