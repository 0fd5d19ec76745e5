"""Migrations: the numbered SQL files in migrations/, applied once each, in order, and never edited later."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import asyncpg
import msgspec

from domain.log import positions

DIRECTORY = Path(__file__).parent / "migrations"

_LOCK_ID = 0x7A9D_E801
"""The advisory lock that makes concurrent migrations of one database take turns."""

_CREATE_TABLE = """
    create table if not exists migrations (
        name text primary key,
        checksum text not null,
        applied_at timestamptz not null default now()
    )
"""


class MigrationError(Exception):
    """The database does not match the migration files; str() says how, and what to do."""


class Migration(msgspec.Struct, frozen=True):
    """One migration file."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations(directory: Path = DIRECTORY) -> list[Migration]:
    """Returns all migrations in order. Their names start with 0001_, 0002_ ... without a gap."""
    paths = sorted(directory.glob("*.sql"))
    for number, path in enumerate(paths, start=1):
        if not path.name.startswith(f"{number:04}_"):
            raise MigrationError(
                f"{path.name} should be number {number:04}; give every migration the next number."
            )
    return [Migration(path.name, path.read_text("utf-8")) for path in paths]


async def migrate(
    connection: asyncpg.Connection, partitions: int, *, directory: Path = DIRECTORY
) -> list[str]:
    """Applies the missing migrations and returns their names; or raises MigrationError and applies none."""
    await connection.execute("set statement_timeout = 0")  # some migrations take long
    await connection.execute("select pg_advisory_lock($1)", _LOCK_ID)
    try:
        await connection.execute(_CREATE_TABLE)
        applied = await _applied(connection)
        missing = _missing(load_migrations(directory), applied)
        if applied:
            await _store_partition_count(
                connection, partitions
            )  # raises before anything is changed
        for migration in missing:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "insert into migrations (name, checksum) values ($1, $2)",
                    migration.name,
                    migration.checksum,
                )
        if not applied:
            await _store_partition_count(connection, partitions)
    finally:
        await connection.execute("select pg_advisory_unlock($1)", _LOCK_ID)
    return [migration.name for migration in missing]


async def pending(connection: asyncpg.Connection, *, directory: Path = DIRECTORY) -> list[str]:
    """Returns the names of the migrations that `migrate` would apply. Raises MigrationError."""
    has_table = await connection.fetchval("select to_regclass('migrations')") is not None
    applied = await _applied(connection) if has_table else {}
    return [migration.name for migration in _missing(load_migrations(directory), applied)]


async def check(
    connection: asyncpg.Connection, partitions: int, *, directory: Path = DIRECTORY
) -> None:
    """Raises MigrationError unless all migrations are applied and the number of partitions is the same.

    Accepts migrations that newer code has applied, so that the code can be rolled back.
    """
    if await connection.fetchval("select to_regclass('topology')") is None:
        raise MigrationError("The database has not been migrated; run `tandem migrate` first.")
    applied = await _applied(connection)
    for migration in load_migrations(directory):
        if migration.name not in applied:
            raise MigrationError(
                f"The database lacks {migration.name}; run `tandem migrate` first."
            )
    await _store_partition_count(connection, partitions)


async def check_positions(connection: asyncpg.Connection) -> None:
    """Raises MigrationError if events cannot be inserted because their next positions are taken."""
    with suppress(positions.UnreadableSequence):
        if (fault := await positions.find_fault(connection.fetch)) is not None:
            raise MigrationError(fault)


async def _applied(connection: asyncpg.Connection) -> dict[str, str]:
    rows = await connection.fetch("select name, checksum from migrations order by name")
    return {row["name"]: row["checksum"] for row in rows}


def _missing(migrations: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """Accepts migrations of newer code after all of these: the code can be rolled back."""
    for migration in migrations:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"{migration.name} was changed after it was applied; restore it and add a new migration."
            )
    missing = [migration for migration in migrations if migration.name not in applied]
    unknown = applied.keys() - {migration.name for migration in migrations}
    if missing and unknown:
        raise MigrationError(
            f"The database has {min(unknown)}, which this code does not know, and lacks {missing[0].name};"
            " deploy the code that it was migrated with."
        )
    return missing


async def _store_partition_count(connection: asyncpg.Connection, partitions: int) -> None:
    """Stores the number of partitions, or raises MigrationError if another one is stored."""
    await connection.execute(
        "insert into topology (partitions) values ($1) on conflict do nothing", partitions
    )
    stored = await connection.fetchval("select partitions from topology")
    if stored != partitions:
        raise MigrationError(
            f"PARTITIONS is {partitions}, but this database was created with {stored};"
            f" set PARTITIONS={stored}."
        )
