"""Status of the whole pipeline from event log to read model, for `status`, /metrics and the status page."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import asyncpg
import msgspec
from redis.asyncio import Redis
from redis.exceptions import AskError, ClusterCrossSlotError

from api.observability.coalesce import Coalesced
from api.observability.probe import Probe
from api.observability.redis_primary import CLUSTER, UnsuitableRedis, require_primary
from domain.connection_pool import NO_WRITES, NOT_PRIMARY, require_writable
from domain.log import erasures
from domain.log.backlog import Backlog, Latest, backlog, latest
from domain.write import key_retention
from readside.admin.partition_status import PartitionStatus, partition_statuses, visible_versions
from readside.redis_functions.keys import TANDEM, Keys, Namespace


class PartitionView(msgspec.Struct, frozen=True, kw_only=True):
    """One partition: its events that no stream has yet, and its stream and read model."""

    number: int
    backlog: Backlog | None
    """None if PostgreSQL did not respond."""
    status: PartitionStatus | None = msgspec.field(name="standing")
    """None if Redis did not respond."""


class Upkeep(msgspec.Struct, frozen=True, kw_only=True):
    """Pending maintenance in PostgreSQL."""

    erasures: erasures.PendingErasures
    oldest_key: float
    """Age of the oldest idempotency key in seconds, 0 without keys."""


class PipelineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The pipeline at one moment. Its names in JSON are an interface: `status --json` prints it."""

    at: float
    """Unix time in seconds."""
    postgresql_error: str | None = msgspec.field(name="writes")
    """None if PostgreSQL responded."""
    redis_error: str | None = msgspec.field(name="reads")
    """None if Redis responded."""
    partitions: list[PartitionView]
    upkeep: Upkeep | None = None
    """None if PostgreSQL did not respond."""


class RecentEvent(msgspec.Struct, frozen=True):
    """An event, and the version of its aggregate in the read model."""

    event: Latest
    visible_version: int


class Pipeline:
    """The pipeline's monitor, which queries both stores at most once per `max_age_seconds`."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        redis: Redis,
        *,
        partitions: int,
        fingerprint: str,
        namespace: Namespace = TANDEM,
        max_age_seconds: float = 1.0,
    ) -> None:
        """`redis` decodes replies."""
        self._pool = pool
        self._redis = redis
        self._partitions = partitions
        self._fingerprint = fingerprint
        self._namespace = namespace
        self._status = Coalesced(self._query, max_age_seconds)
        self._postgresql = Probe[tuple[dict[int, Backlog], Upkeep]]()
        self._redis_partitions = Probe[list[PartitionStatus | None]]()
        self._events = Probe[list[Latest]]()
        self._versions = Probe[list[int]]()
        self._failed_at = -math.inf

    async def status(self, since: float = 0.0) -> PipelineStatus:
        """Returns the status within two of Probe's time limits; reports errors of the stores, raises none.

        Waits for one that is taken at `since`, in seconds of time.monotonic(), or later.
        """
        return await self._status.get(since)

    async def generation_without_lag(self, partition: int) -> str | None:
        """Returns the active generation if every event that was committed before this call is applied in it.

        Returns None if an event is not applied yet, or if a store does not respond.
        """
        view = (await self.status(time.monotonic())).partitions[partition]
        log, read_model = view.backlog, view.status
        if log is None or read_model is None or log.unpublished != 0 or log.foreign:
            return None
        return read_model.generation if read_model.behind == 0 else None

    async def recent_events(self, count: int) -> list[RecentEvent]:
        """Returns the latest events, newest first; none if a store does not respond."""
        events, _ = await self._events.run(lambda: latest(self._pool, self._partitions, count))
        statuses = {view.number: view.status for view in (await self.status()).partitions}
        documents = [
            Keys(self._namespace.partition(event.partition), status.generation).document(
                event.aggregate, event.aggregate_id
            )
            for event in events or ()
            if (status := statuses[event.partition]) and status.generation
        ]
        versions, _ = await self._versions.run(lambda: visible_versions(self._redis, documents))
        if events is None or versions is None or len(versions) < len(events):
            return []
        return [
            RecentEvent(event, version) for event, version in zip(events, versions, strict=True)
        ]

    @property
    def healthy_for_seconds(self) -> float:
        """Seconds since the last query to which a store did not respond."""
        return time.monotonic() - self._failed_at

    async def _query(self) -> PipelineStatus:
        statuses, redis_error = await self._redis_partitions.run(self._query_redis)
        numbers = range(self._partitions)
        known = statuses or [None] * self._partitions
        cursors = {number: status.cursor if status else None for number, status in enumerate(known)}
        result, postgresql_error = await self._postgresql.run(
            lambda: self._query_postgresql(cursors)
        )
        backlogs, upkeep = result or (None, None)
        if postgresql_error is not None or redis_error is not None:
            self._failed_at = time.monotonic()
        return PipelineStatus(
            at=time.time(),
            postgresql_error=postgresql_error,
            redis_error=redis_error,
            partitions=[
                PartitionView(
                    number=number,
                    backlog=None if backlogs is None else backlogs[number],
                    status=known[number],
                )
                for number in numbers
            ],
            upkeep=upkeep,
        )

    async def _query_redis(self) -> list[PartitionStatus | None]:
        """Raises what redis-py raises; ReadOnlyError on a replica, UnsuitableRedis on a cluster."""
        await require_primary(self._redis)
        try:
            return await partition_statuses(
                self._redis, self._partitions, self._fingerprint, self._namespace
            )
        except (AskError, ClusterCrossSlotError) as error:  # behind a proxy that hides the cluster
            raise UnsuitableRedis(CLUSTER) from error

    async def _query_postgresql(
        self, cursors: Mapping[int, str | None]
    ) -> tuple[dict[int, Backlog], Upkeep]:
        """Raises what asyncpg raises; ReadOnlySQLTransactionError on a server that takes no writes."""
        try:
            await require_writable(self._pool)
        except NOT_PRIMARY as error:
            raise asyncpg.ReadOnlySQLTransactionError(NO_WRITES) from error
        upkeep = Upkeep(
            erasures=await erasures.pending_erasures(self._pool),
            oldest_key=await key_retention.oldest_key_age(self._pool),
        )
        return await backlog(self._pool, cursors), upkeep
