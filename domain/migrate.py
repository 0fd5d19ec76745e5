"""Migrations: the numbered SQL files in migrations/, each applied once, in order, and never changed after."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import asyncpg
import msgspec

from domain.log import positions

DIRECTORY = Path(__file__).parent / "migrations"

_LOCK = 0x7A9D_E801  # one number for all of Tandem's migrations: two that start at once take turns

_TABLE = """
    create table if not exists migrations (
        name text primary key,
        checksum text not null,
        applied_at timestamptz not null default now()
    )
"""


class MigrationError(Exception):
    """The database and the migration files do not fit; str() says how, and what to do."""


class Migration(msgspec.Struct, frozen=True):
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(directory: Path = DIRECTORY) -> list[Migration]:
    """All migrations in order. Their names start with 0001_, 0002_ ... without a hole."""
    found = [
        Migration(path.name, path.read_text("utf-8")) for path in sorted(directory.glob("*.sql"))
    ]
    for number, migration in enumerate(found, start=1):
        if not migration.name.startswith(f"{number:04}_"):
            raise MigrationError(
                f"{migration.name} should be number {number:04}; give every migration the next number."
            )
    return found


async def migrate(
    connection: asyncpg.Connection, partitions: int, *, directory: Path = DIRECTORY
) -> list[str]:
    """Applies what is missing and answers its names. Raises MigrationError and applies nothing then."""
    await connection.execute("set statement_timeout = 0")  # whatever the role has: some take long
    await connection.execute("select pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(_TABLE)
        applied = await _applied(connection)
        missing = _pending(migrations(directory), applied)
        if applied:
            await _fix_partitions(connection, partitions)  # refuses before anything is changed
        for migration in missing:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "insert into migrations (name, checksum) values ($1, $2)",
                    migration.name,
                    migration.checksum,
                )
        if not applied:
            await _fix_partitions(connection, partitions)
    finally:
        await connection.execute("select pg_advisory_unlock($1)", _LOCK)
    return [migration.name for migration in missing]


async def pending(connection: asyncpg.Connection, *, directory: Path = DIRECTORY) -> list[str]:
    """The names of what `migrate` would apply; changes nothing. Raises MigrationError."""
    begun = await connection.fetchval("select to_regclass('migrations')") is not None
    applied = await _applied(connection) if begun else {}
    return [migration.name for migration in _pending(migrations(directory), applied)]


async def check(
    connection: asyncpg.Connection, partitions: int, *, directory: Path = DIRECTORY
) -> None:
    """Raises MigrationError unless all is applied, and the database made with so many partitions.

    What newer code has applied is no reason not to start: so the code can be rolled back.
    """
    if await connection.fetchval("select to_regclass('topology')") is None:
        raise MigrationError("The database has not been migrated; run `tandem migrate` first.")
    applied = await _applied(connection)
    for migration in migrations(directory):
        if migration.name not in applied:
            raise MigrationError(
                f"The database lacks {migration.name}; run `tandem migrate` first."
            )
    await _fix_partitions(connection, partitions)


async def check_positions(connection: asyncpg.Connection) -> None:
    """Raises MigrationError if no event could be written, because the positions of new ones are taken."""
    with suppress(positions.UnreadableSequence):
        if (fault := await positions.fault(connection.fetch)) is not None:
            raise MigrationError(fault)


async def _applied(connection: asyncpg.Connection) -> dict[str, str]:
    rows = await connection.fetch("select name, checksum from migrations order by name")
    return {row["name"]: row["checksum"] for row in rows}


def _pending(known: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """What newer code has applied behind all of ours is no reason for anything: code can be rolled back."""
    for migration in known:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"{migration.name} was changed after it was applied; restore it and add a new migration."
            )
    missing = [migration for migration in known if migration.name not in applied]
    unknown = applied.keys() - {migration.name for migration in known}
    if missing and unknown:
        raise MigrationError(
            f"The database has {min(unknown)}, which this code does not know, and lacks {missing[0].name};"
            " deploy the code that it was migrated with."
        )
    return missing


async def _fix_partitions(connection: asyncpg.Connection, partitions: int) -> None:
    await connection.execute(
        "insert into topology (partitions) values ($1) on conflict do nothing", partitions
    )
    fixed = await connection.fetchval("select partitions from topology")
    if fixed != partitions:
        raise MigrationError(
            f"PARTITIONS is {partitions}, but this database was made with {fixed}; set PARTITIONS={fixed}."
        )
