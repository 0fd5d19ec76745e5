"""One look at the whole way, from the log to the read model; status, metrics and the status page show it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import asyncpg
import msgspec
from redis.exceptions import AskError, ClusterCrossSlotError

from api.observability.coalesce import Coalesced
from api.observability.probe import Probe
from api.observability.redis_primary import CLUSTER, UnsuitableRedis, require_primary
from domain.connection_pool import NO_WRITES, NOT_PRIMARY, require_writable
from domain.log import erasures
from domain.log.backlog import Backlog, Latest, backlog, latest
from domain.write import key_retention
from readside.admin.partition_status import PartitionStatus, partition_statuses, shown
from readside.redis_functions.keys import TANDEM, Keys, Namespace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis


class PartitionView(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    backlog: Backlog | None
    """None if PostgreSQL did not answer."""
    standing: PartitionStatus | None
    """None if Redis did not answer."""


class Upkeep(msgspec.Struct, frozen=True, kw_only=True):
    """What is left to do in PostgreSQL beside carrying events."""

    erasures: erasures.PendingErasures
    oldest_key: float
    """Age of the oldest idempotency key in seconds, 0 if there is none."""


class PipelineStatus(msgspec.Struct, frozen=True, kw_only=True):
    at: float
    """Seconds of the wall clock."""
    writes: str | None
    """Why PostgreSQL did not answer; None if it did."""
    reads: str | None
    """Why Redis did not answer; None if it did."""
    partitions: list[PartitionView]
    upkeep: Upkeep | None = None
    """None if PostgreSQL did not answer."""


class RecentEvent(msgspec.Struct, frozen=True):
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
        namespace: Namespace = TANDEM,
        fresh: float = 1.0,
    ) -> None:
        """`redis` decodes replies."""
        self._pool = pool
        self._redis = redis
        self._partitions = partitions
        self._fingerprint = fingerprint
        self._namespace = namespace
        self._look_at_it = Coalesced(self._look, fresh)
        self._logs = Probe[tuple[dict[int, Backlog], Upkeep]]()
        self._models = Probe[list[PartitionStatus]]()
        self._events = Probe[list[Latest]]()
        self._versions = Probe[list[int]]()
        self._sound_since = -math.inf

    async def look(self) -> PipelineStatus:
        """Takes twice PATIENCE at most, and raises nothing of the stores."""
        return await self._look_at_it.get()

    async def latest(self, count: int) -> list[RecentEvent]:
        """The last events that happened, newest first; none if a store does not answer."""
        found, _ = await self._events.answer(lambda: latest(self._pool, self._partitions, count))
        places = {one.number: one.standing for one in (await self.look()).partitions}
        asked = [
            (Keys(self._namespace.partition(event.partition), standing.generation), event.user_id)
            for event in found or ()
            if (standing := places[event.partition]) and standing.generation
        ]
        versions, _ = await self._versions.answer(lambda: shown(self._redis, asked))
        if found is None or versions is None or len(versions) < len(found):
            return []
        return [RecentEvent(event, version) for event, version in zip(found, versions, strict=True)]

    @property
    def sound(self) -> float:
        """Seconds for which both stores have answered whenever they were asked."""
        return time.monotonic() - self._sound_since

    async def _look(self) -> PipelineStatus:
        found, reads = await self._models.answer(self._standings)
        numbers = range(self._partitions)
        cursors = {number: found[number].cursor if found else None for number in numbers}
        written, writes = await self._logs.answer(lambda: self._written(cursors))
        logs, upkeep = written or (None, None)
        if writes is not None or reads is not None:
            self._sound_since = time.monotonic()
        return PipelineStatus(
            at=time.time(),
            writes=writes,
            reads=reads,
            partitions=[
                PartitionView(
                    number=number,
                    backlog=None if logs is None else logs[number],
                    standing=None if found is None else found[number],
                )
                for number in numbers
            ],
            upkeep=upkeep,
        )

    async def _standings(self) -> list[PartitionStatus]:
        """Raises what redis-py raises; also where a replica answers."""
        await require_primary(self._redis)
        try:
            return await partition_statuses(
                self._redis, self._partitions, self._fingerprint, self._namespace
            )
        except (AskError, ClusterCrossSlotError) as error:  # which a proxy may hide until now
            raise UnsuitableRedis(CLUSTER) from error

    async def _written(
        self, cursors: Mapping[int, str | None]
    ) -> tuple[dict[int, Backlog], Upkeep]:
        """What PostgreSQL knows. Raises what asyncpg raises; also where a server takes no writes."""
        try:
            await require_writable(self._pool)
        except NOT_PRIMARY as error:
            raise asyncpg.ReadOnlySQLTransactionError(NO_WRITES) from error
        upkeep = Upkeep(
            erasures=await erasures.pending_erasures(self._pool),
            oldest_key=await key_retention.oldest_key_age(self._pool),
        )
        return await backlog(self._pool, cursors), upkeep
