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

from api import drivers
from api.addresses import reason
from api.doctor import pooler
from api.log_check import refuse_foreign_log
from api.roles import fingerprint, namespace
from api.verbs.asked import Refused, external
from api.watch.primary import CLUSTER, REPLICA, Unfit, require_primary
from api.workers import WEATHER
from domain.connections import NO_WRITES, NOT_PRIMARY
from domain.log import EventLog
from domain.migrate import check
from readside.capacity import FULL
from readside.models import PROJECTIONS
from readside.parked import Parked
from readside.steering import Steering
from readside.verify import Verify

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from api.settings import Settings
    from readside.keys import Namespace


@dataclass(frozen=True, kw_only=True)
class Stores:
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

    def steering(self, partition: int) -> Steering:
        """What can be done to the read models of a partition."""
        return Steering(
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
        """Those that were chosen, or all. Raises Refused."""
        number = self.settings.partitions
        for partition in chosen or ():
            if not 0 <= partition < number:
                raise Refused(
                    f"There is no partition {partition}; they are numbered 0 to {number - 1}."
                )
        return sorted(set(chosen)) if chosen else list(range(number))


def located(settings: Settings) -> Settings:
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
    except pooler.MISFITS as error:
        raise Refused(pooler.remedy(error)) from error
    except NOT_PRIMARY as error:
        raise Refused(NO_WRITES) from error
    except (Unfit, ReadOnlyError) as error:
        raise Refused(str(error) if isinstance(error, Unfit) else REPLICA) from error
    except (AskError, ClusterCrossSlotError) as error:
        raise Refused(CLUSTER) from error
    except OutOfMemoryError as error:
        raise Refused(FULL) from error
    except WEATHER as error:
        redis = isinstance(error, RedisError)
        store, name = ("Redis", "REDIS_URL") if redis else ("PostgreSQL", "DATABASE_URL")
        raise Refused(
            f"{store} cannot be worked with ({reason(error)}); check {name} and try again."
        ) from error


@asynccontextmanager
async def write_model(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    """PostgreSQL alone, which must be there, and migrated. Raises Refused and MigrationError."""
    settings = located(settings)
    external(settings, "database_url")
    with one_sentence():
        async with drivers.database(settings) as pool:
            async with pool.acquire() as connection:
                await check(connection, settings.partitions)  # type: ignore[arg-type]
            yield pool


@asynccontextmanager
async def opened(settings: Settings, *, any_log: bool = False) -> AsyncIterator[Stores]:
    """Both stores, which must be there, migrated, and of one event log unless `any_log` is set.

    Raises Refused, MigrationError and ForeignLog.
    """
    settings = located(settings)
    external(settings, "database_url", "redis_url")
    with one_sentence():
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(write_model(settings))
            redis = await stack.enter_async_context(drivers.redis_for_functions(settings))
            streams = await stack.enter_async_context(drivers.redis_for_streams(settings))
            await require_primary(redis)
            stores = Stores(settings=settings, pool=pool, redis=redis, streams=streams)
            if not any_log:
                await refuse_foreign_log(stores.log, redis, settings)
            yield stores
