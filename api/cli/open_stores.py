"""Opens the stores of a command: those of the settings, or those of a `tandem up` in DATA_DIR."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)

from api.errors import OperatorError
from api.observability.pipeline import Pipeline
from api.observability.redis_primary import CLUSTER, REPLICA, UnsuitableRedis, require_primary
from api.roles import fingerprint, namespace
from api.runtime import drivers, pgbouncer
from api.runtime.background import TRANSIENT_ERRORS
from api.runtime.log_check import refuse_foreign_log
from api.server_urls import reason
from api.settings import require_settings
from domain.connection_pool import NO_WRITES, NOT_PRIMARY
from domain.log.event_log import EventLog
from domain.migrate import check
from readside.admin.maintenance import PartitionMaintenance
from readside.admin.parked import Parked
from readside.generations.memory_capacity import FULL
from readside.read_models import PROJECTIONS
from readside.verify.verify import Verify

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from api.settings import Settings
    from readside.redis_functions.keys import Namespace

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
        return fingerprint(self.settings)

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
            patience=patience,
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


def located(settings: Settings, *required: str) -> Settings:
    """Returns settings with the URLs that are required; those of a `tandem up` in DATA_DIR if none is set.

    Raises OperatorError.
    """
    if settings.database_url or settings.redis_url:
        require_settings(settings, *required)
        return settings
    data_dir = settings.data_dir.absolute()
    if not (data_dir / "run" / "valkey.sock").exists():
        urls = " and ".join(name.upper() for name in required)
        raise OperatorError(
            f"No `tandem up` runs in {data_dir} (DATA_DIR); start it, set DATA_DIR to its directory, or set"
            f" {urls}."
        )
    from api.embedded.postgres import database_url
    from api.embedded.valkey import redis_url

    return settings.model_copy(
        update={
            "database_url": database_url(data_dir / "run"),
            "redis_url": redis_url(data_dir / "run"),
            "redis_password": None,
        }
    )


@contextmanager
def store_errors_as_one_line() -> Iterator[None]:
    """Raises OperatorError for an error of a store: one that is unreachable, or unsuitable."""
    try:
        yield
    except pgbouncer.POOLER_ERRORS as error:
        raise OperatorError(pgbouncer.advice(error)) from error
    except NOT_PRIMARY as error:
        raise OperatorError(NO_WRITES) from error
    except UnsuitableRedis as error:
        raise OperatorError(str(error)) from error
    except ReadOnlyError as error:
        raise OperatorError(REPLICA) from error
    except (AskError, ClusterCrossSlotError) as error:
        raise OperatorError(CLUSTER) from error
    except OutOfMemoryError as error:
        raise OperatorError(FULL) from error
    except TRANSIENT_ERRORS as error:
        redis = isinstance(error, RedisError)
        store, name = ("Redis", "REDIS_URL") if redis else ("PostgreSQL", "DATABASE_URL")
        raise OperatorError(
            f"{store} cannot be used ({reason(error)}); check {name} and try again."
        ) from error


@asynccontextmanager
async def write_model(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    """Opens PostgreSQL alone, migrated. Raises OperatorError and MigrationError."""
    with store_errors_as_one_line():
        async with drivers.database(located(settings, "database_url")) as pool:
            async with pool.acquire() as connection:
                await check(connection, settings.partitions)  # type: ignore[arg-type]
            yield pool


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
        drivers.redis_for_watching(settings) as redis,
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
            fingerprint=fingerprint(settings),
            namespace=namespace(settings),
            fresh=0.0,
        )
