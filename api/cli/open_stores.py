"""Opens both stores for a command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg
from redis.asyncio import Redis

from api.cli.open_database import located, store_errors_as_one_line, write_model
from api.observability.pipeline import Pipeline
from api.observability.redis_primary import require_primary
from api.operator_error import OperatorError
from api.roles import namespace, read_model_fingerprint
from api.runtime import drivers, pgbouncer
from api.runtime.background import TRANSIENT_ERRORS
from api.runtime.log_check import refuse_foreign_log
from api.settings import Settings
from domain.log.event_log import EventLog
from domain.migrate import check
from readside.admin.maintenance import PartitionMaintenance
from readside.admin.parked_aggregates import Parked
from readside.projection_set import PROJECTIONS
from readside.redis_functions.keys import Namespace
from readside.verify.verify import Verify

_CHECK_TIMEOUT_SECONDS = 1.0
"""Time limit of the checks before the pipeline, which itself reports a store that does not reply."""


@dataclass(frozen=True, kw_only=True)
class OpenStores:
    """Both stores, open, and made for these settings."""

    settings: Settings
    pool: asyncpg.Pool
    redis: Redis
    streams: Redis

    @property
    def log(self) -> EventLog:
        return EventLog(self.pool)

    @property
    def fingerprint(self) -> str:
        return read_model_fingerprint(self.settings)

    @property
    def namespace(self) -> Namespace:
        return namespace(self.settings)

    def maintenance(self, partition: int) -> PartitionMaintenance:
        return PartitionMaintenance(
            self.redis,
            self.streams,
            self.log,
            partition,
            partitions=self.settings.partitions,
            projections=PROJECTIONS,
            fingerprint=self.fingerprint,
            namespace=self.namespace,
        )

    def parked(self, partition: int) -> Parked:
        return Parked(self.redis, self.namespace.partition(partition), self.fingerprint)

    def verify(self, partition: int, patience: float) -> Verify:
        return Verify(
            self.redis,
            self.log,
            partition,
            projections=PROJECTIONS,
            fingerprint=self.fingerprint,
            timeout_seconds=patience,
            namespace=self.namespace,
        )

    def partitions(self, chosen: Collection[int] | None) -> list[int]:
        """Returns the chosen partitions, or all of them. Raises OperatorError."""
        count = self.settings.partitions
        for partition in chosen or ():
            if not 0 <= partition < count:
                raise OperatorError(
                    f"There is no partition {partition}; they are numbered 0 to {count - 1}."
                )
        return sorted(set(chosen)) if chosen else list(range(count))


@asynccontextmanager
async def open_stores(settings: Settings, *, any_log: bool = False) -> AsyncIterator[OpenStores]:
    """Opens both stores, migrated, and of one event log unless `any_log` is set.

    Raises OperatorError, MigrationError and ForeignLog.
    """
    settings = located(settings, "database_url", "redis_url")
    with store_errors_as_one_line():
        async with (
            write_model(settings) as pool,
            drivers.redis_for_functions(settings) as redis,
            drivers.redis_for_streams(settings) as streams,
        ):
            await require_primary(redis)
            stores = OpenStores(settings=settings, pool=pool, redis=redis, streams=streams)
            if not any_log:
                await refuse_foreign_log(stores.pool, redis, settings)
            yield stores


@asynccontextmanager
async def open_pipeline(settings: Settings) -> AsyncIterator[Pipeline]:
    """Opens both stores for `tandem status`; either may be unreachable.

    Raises OperatorError, MigrationError if PostgreSQL has other partitions, and ForeignLog.
    """
    settings = located(settings, "database_url", "redis_url")
    async with (
        drivers.database(settings) as pool,
        drivers.redis_for_monitoring(settings) as redis,
    ):
        with suppress(*TRANSIENT_ERRORS, *pgbouncer.POOLER_ERRORS):  # the pipeline reports these
            async with asyncio.timeout(_CHECK_TIMEOUT_SECONDS):
                async with pool.acquire() as connection:
                    await check(connection, settings.partitions)  # type: ignore[arg-type]
                await refuse_foreign_log(pool, redis, settings)
        yield Pipeline(
            pool,
            redis,
            partitions=settings.partitions,
            fingerprint=read_model_fingerprint(settings),
            namespace=namespace(settings),
            max_age_seconds=0.0,
        )
