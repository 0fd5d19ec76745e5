"""One look at the whole way, from the log to the read model; status, metrics and the status page show it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg
import msgspec
from redis.exceptions import RedisError

from api.watch.shared import Shared
from domain.backlog import Backlog, Latest, backlog, latest
from domain.store import AWAY
from readside.standing import Standing, shown, standings

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

PATIENCE: Final = 1.0
"""Seconds that each store has to answer."""


class PartitionLook(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    backlog: Backlog | None
    """None if PostgreSQL did not answer."""
    standing: Standing | None
    """None if Redis did not answer."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    at: float
    """Seconds of the wall clock."""
    writes: str | None
    """Why PostgreSQL did not answer; None if it did."""
    reads: str | None
    """Why Redis did not answer; None if it did."""
    partitions: list[PartitionLook]


class Passing(msgspec.Struct, frozen=True):
    """An event, and how far its user is in the read model."""

    event: Latest
    shown: int
    """The version that readers are shown."""


class Pipeline:
    """Looks when it is asked to; whoever asks within `fresh` seconds shares a look."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        redis: Redis,
        *,
        partitions: int,
        fingerprint: str,
        fresh: float = 1.0,
    ) -> None:
        """`redis` decodes replies."""
        self._pool = pool
        self._redis = redis
        self._partitions = partitions
        self._fingerprint = fingerprint
        self._look_at_it = Shared(self._look, fresh)

    async def look(self) -> Look:
        """Takes twice PATIENCE at most, and raises nothing of the stores."""
        return await self._look_at_it.get()

    async def latest(self, count: int) -> list[Passing]:
        """The last events that happened, newest first; none if a store does not answer."""
        found, _ = await _answer(latest(self._pool, self._partitions, count))
        places = {one.number: one.standing for one in (await self.look()).partitions}
        asked = [
            (event.partition, standing.generation, event.user_id)
            for event in found or ()
            if (standing := places[event.partition]) and standing.generation
        ]
        versions, _ = await _answer(shown(self._redis, asked))
        if found is None or versions is None or len(versions) < len(found):
            return []
        return [Passing(event, version) for event, version in zip(found, versions, strict=True)]

    async def _look(self) -> Look:
        found, reads = await _answer(standings(self._redis, self._partitions, self._fingerprint))
        numbers = range(self._partitions)
        cursors = {number: found[number].cursor if found else None for number in numbers}
        logs, writes = await _answer(backlog(self._pool, cursors))
        return Look(
            at=time.time(),
            writes=writes,
            reads=reads,
            partitions=[
                PartitionLook(
                    number=number,
                    backlog=None if logs is None else logs[number],
                    standing=None if found is None else found[number],
                )
                for number in numbers
            ],
        )


async def _answer(asked: Awaitable[T]) -> tuple[T | None, str | None]:
    """The answer, or why there is none: in the words of the driver, so not for clients."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await asked, None
    except TimeoutError:
        return None, f"it has not answered for {PATIENCE:g} seconds"
    except (*AWAY, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError) as error:
        return None, f"{type(error).__name__}: {error}"[:200]
