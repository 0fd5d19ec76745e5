"""tandem migrate: what the database does not have yet, applied or only told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import asyncpg
import msgspec
import typer

from api import drivers
from api.addresses import reason
from api.doctor import pooler
from api.verbs.asked import Refused, carry_out, external
from api.verbs.rebuild import AsJson
from api.verbs.stores import located
from domain.connections import NO_WRITES, NOT_PRIMARY
from domain.email_keys import Shared, renew
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
        if plan:
            names = await planned(settings)
            _print(as_json, {"pending": names}, [f"would apply {name}" for name in names])
            return SOMETHING_TO_DO if names else 0
        names, shared = await migrated(settings)
        lines = [*(f"applied {name}" for name in names), *map(_sentence, shared)]
        told = (
            {"applied": names, "shared": msgspec.to_builtins(shared)}
            if shared
            else {"applied": names}
        )
        _print(as_json, told, lines)
        return 0

    carry_out(run)


def _print(as_json: bool, told: dict[str, Any], lines: list[str]) -> None:
    for line in [json.dumps(told)] if as_json else lines:
        typer.echo(line)


def _sentence(shared: Shared) -> str:
    return (
        f"The users {shared.holder} and {shared.other} share the address {shared.address}, which was two"
        " under older rules; let one of them change it."
    )


async def planned(settings: Settings) -> list[str]:
    """What `migrated` would apply. Raises Refused and MigrationError."""
    async with _connected(settings) as connection:
        return await pending(connection)


async def migrated(settings: Settings) -> tuple[list[str], list[Shared]]:
    """Applies what is missing, and returns its names, and the users that share an address.

    Raises Refused and MigrationError.
    """
    async with _connected(settings) as connection:
        try:
            names = await migrate(connection, settings.partitions)
            return names, await renew(connection)
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
