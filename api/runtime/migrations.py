"""Applies database migrations, and reports an unreachable, read-only or pooled database in one sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from api.operator_error import OperatorError
from api.runtime import drivers, pgbouncer
from api.server_urls import reason
from api.settings import Settings
from domain.connection_pool import CONNECTION_ERRORS, NO_WRITES, NOT_PRIMARY
from domain.migrate import migrate, pending
from domain.users.email_keys import SharedAddress, migrate_email_keys


async def pending_migrations(settings: Settings) -> list[str]:
    """Returns the names of migrations that are not applied. Raises OperatorError and MigrationError."""
    async with _connection(settings) as connection:
        return await pending(connection)


async def apply_migrations(settings: Settings) -> tuple[list[str], list[SharedAddress]]:
    """Applies migrations; returns their names, and shared addresses. Raises OperatorError, MigrationError."""
    async with _connection(settings) as connection:
        try:
            names = await migrate(connection, settings.partitions)
            return names, await migrate_email_keys(connection)
        except pgbouncer.POOLER_ERRORS:
            raise
        except CONNECTION_ERRORS as error:
            raise OperatorError(
                f"PostgreSQL did not carry out the migrations ({reason(error)});"
                " what it did carry out is whole: run this again."
            ) from error


@asynccontextmanager
async def _connection(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    try:
        connection = await drivers.connect_to_primary(settings, settings.command_timeout)
    except NOT_PRIMARY as error:
        raise OperatorError(NO_WRITES) from error
    except CONNECTION_ERRORS as error:
        raise OperatorError(
            f"PostgreSQL cannot be reached ({reason(error)}); check DATABASE_URL."
        ) from error
    try:
        yield connection
    except pgbouncer.POOLER_ERRORS as error:
        raise OperatorError(pgbouncer.advice(error)) from error
    finally:
        with suppress(*CONNECTION_ERRORS):
            await connection.close()
