"""Opens PostgreSQL for a command, finds the stores of a `tandem up`, and reports store errors as one line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)

from api.observability.redis_primary import CLUSTER, REPLICA, UnsuitableRedis
from api.operator_error import OperatorError
from api.runtime import drivers, pgbouncer
from api.runtime.background import TRANSIENT_ERRORS
from api.server_urls import reason
from api.settings import Settings, require_settings
from domain.connection_pool import NO_WRITES, NOT_PRIMARY
from domain.migrate import check
from readside.generations.memory_capacity import FULL


def located(settings: Settings, *required: str) -> Settings:
    """Returns settings with the required URLs, by default those of a `tandem up`. Raises OperatorError."""
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
