"""The stores that a verb works on: those of the settings, or those of a `tandem up` that runs in DATA_DIR."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
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


@dataclass(frozen=True, kw_only=True)
class OpenStores:
    """Both stores, open, and of one kind with the settings."""

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

    def steering(self, partition: int) -> PartitionMaintenance:
        """What can be done to the read models of a partition."""
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
        """Who is set aside in a partition."""
        return Parked(self.redis, self.namespace.partition(partition), self.fingerprint)

    def verify(self, partition: int, patience: float) -> Verify:
        """What compares a partition with the log."""
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
        """Those that were chosen, or all. Raises OperatorError."""
        number = self.settings.partitions
        for partition in chosen or ():
            if not 0 <= partition < number:
                raise OperatorError(
                    f"There is no partition {partition}; they are numbered 0 to {number - 1}."
                )
        return sorted(set(chosen)) if chosen else list(range(number))


def with_embedded_stores(settings: Settings) -> Settings:
    """The settings with the addresses of the stores that `tandem up` runs, where none are set."""
    run = settings.data_dir.absolute() / "run"
    if settings.database_url or settings.redis_url or not (run / "valkey.sock").exists():
        return settings
    from api.embedded.postgres import database_url
    from api.embedded.valkey import redis_url

    return settings.model_copy(
        update={
            "database_url": database_url(run),
            "redis_url": redis_url(run),
            "redis_password": None,
        }
    )


@contextmanager
def one_sentence() -> Iterator[None]:
    """A store that is away, or goes away, is no traceback."""
    try:
        yield
    except pgbouncer.POOLER_ERRORS as error:
        raise OperatorError(pgbouncer.advice(error)) from error
    except NOT_PRIMARY as error:
        raise OperatorError(NO_WRITES) from error
    except (UnsuitableRedis, ReadOnlyError) as error:
        raise OperatorError(
            str(error) if isinstance(error, UnsuitableRedis) else REPLICA
        ) from error
    except (AskError, ClusterCrossSlotError) as error:
        raise OperatorError(CLUSTER) from error
    except OutOfMemoryError as error:
        raise OperatorError(FULL) from error
    except TRANSIENT_ERRORS as error:
        redis = isinstance(error, RedisError)
        store, name = ("Redis", "REDIS_URL") if redis else ("PostgreSQL", "DATABASE_URL")
        raise OperatorError(
            f"{store} cannot be worked with ({reason(error)}); check {name} and try again."
        ) from error


@asynccontextmanager
async def write_model(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    """PostgreSQL alone, which must be there, and migrated. Raises OperatorError and MigrationError."""
    settings = with_embedded_stores(settings)
    require_settings(settings, "database_url")
    with one_sentence():
        async with drivers.database(settings) as pool:
            async with pool.acquire() as connection:
                await check(connection, settings.partitions)  # type: ignore[arg-type]
            yield pool


@asynccontextmanager
async def open_stores(settings: Settings, *, any_log: bool = False) -> AsyncIterator[OpenStores]:
    """Both stores, which must be there, migrated, and of one event log unless `any_log` is set.

    Raises OperatorError, MigrationError and ForeignLog.
    """
    settings = with_embedded_stores(settings)
    require_settings(settings, "database_url", "redis_url")
    with one_sentence():
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(write_model(settings))
            redis = await stack.enter_async_context(drivers.redis_for_functions(settings))
            streams = await stack.enter_async_context(drivers.redis_for_streams(settings))
            await require_primary(redis)
            stores = OpenStores(settings=settings, pool=pool, redis=redis, streams=streams)
            if not any_log:
                await refuse_foreign_log(stores.pool, redis, settings)
            yield stores
