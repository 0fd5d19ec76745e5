"""tandem migrate: what the database does not have yet, applied or only told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import asyncpg
import typer

from api import drivers
from api.addresses import reason
from api.doctor import pooler
from api.verbs.asked import Refused, carry_out, external
from api.verbs.rebuild import AsJson
from api.verbs.stores import located
from domain.connections import NO_WRITES, NOT_PRIMARY
from domain.migrate import migrate, pending

if TYPE_CHECKING:
    from api.settings import Settings

UNREACHABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What asyncpg raises when PostgreSQL is away, or goes away in the middle of something."""

SOMETHING_TO_DO = 3


def migrate_database(
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be applied.")] = False,
    as_json: AsJson = False,
) -> None:
    """Apply the migrations that DATABASE_URL does not have yet.

    Example: tandem migrate --plan

    Exit status: 0 all is applied; 1 it cannot be done; with --plan 3 if there is something to apply.
    """

    async def run(settings: Settings) -> int:
        settings = located(settings)
        external(settings, "database_url")
        names = await (planned(settings) if plan else migrated(settings))
        if as_json:
            typer.echo(json.dumps({"pending" if plan else "applied": names}))
        else:
            for name in names:
                typer.echo(f"would apply {name}" if plan else f"applied {name}")
        return SOMETHING_TO_DO if plan and names else 0

    carry_out(run)


async def planned(settings: Settings) -> list[str]:
    """What `migrated` would apply. Raises Refused and MigrationError."""
    async with _connected(settings) as connection:
        return await pending(connection)


async def migrated(settings: Settings) -> list[str]:
    """Applies what is missing, and answers its names. Raises Refused and MigrationError."""
    async with _connected(settings) as connection:
        try:
            return await migrate(connection, settings.partitions)
        except pooler.MISFITS:
            raise
        except UNREACHABLE as error:
            raise Refused(
                f"PostgreSQL did not carry out the migrations ({reason(error)});"
                " what it did carry out is whole: run this again."
            ) from error


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    try:
        connection = await drivers.connected(settings, settings.command_timeout)
    except NOT_PRIMARY as error:
        raise Refused(NO_WRITES) from error
    except UNREACHABLE as error:
        raise Refused(
            f"PostgreSQL cannot be reached ({reason(error)}); check DATABASE_URL."
        ) from error
    try:
        yield connection
    except pooler.MISFITS as error:
        raise Refused(pooler.remedy(error)) from error
    finally:
        with suppress(*UNREACHABLE):
            await connection.close()
