"""Applies migrations; a database that is unreachable, read-only or behind a pooler is one sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import asyncpg

from api.operator_error import OperatorError
from api.runtime import drivers, pgbouncer
from api.server_urls import reason
from domain.connection_pool import NO_WRITES, NOT_PRIMARY
from domain.migrate import migrate, pending
from domain.users.email_keys import SharedAddress, migrate_email_keys

if TYPE_CHECKING:
    from api.settings import Settings

UNREACHABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What asyncpg raises when PostgreSQL is away, or goes away in the middle of something."""


async def planned(settings: Settings) -> list[str]:
    """What `migrated` would apply. Raises OperatorError and MigrationError."""
    async with _connected(settings) as connection:
        return await pending(connection)


async def migrated(settings: Settings) -> tuple[list[str], list[SharedAddress]]:
    """Applies what is missing, and returns its names, and the users that share an address.

    Raises OperatorError and MigrationError.
    """
    async with _connected(settings) as connection:
        try:
            names = await migrate(connection, settings.partitions)
            return names, await migrate_email_keys(connection)
        except pgbouncer.POOLER_ERRORS:
            raise
        except UNREACHABLE as error:
            raise OperatorError(
                f"PostgreSQL did not carry out the migrations ({reason(error)});"
                " what it did carry out is whole: run this again."
            ) from error


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    try:
        connection = await drivers.connected(settings, settings.command_timeout)
    except NOT_PRIMARY as error:
        raise OperatorError(NO_WRITES) from error
    except UNREACHABLE as error:
        raise OperatorError(
            f"PostgreSQL cannot be reached ({reason(error)}); check DATABASE_URL."
        ) from error
    try:
        yield connection
    except pgbouncer.POOLER_ERRORS as error:
        raise OperatorError(pgbouncer.advice(error)) from error
    finally:
        with suppress(*UNREACHABLE):
            await connection.close()
