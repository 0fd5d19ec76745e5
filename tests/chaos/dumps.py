"""Dumps of a database, and the usual ways to restore one, with PostgreSQL's own programs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from api.embedded.postgres import binary

if TYPE_CHECKING:
    from pathlib import Path


async def program(name: str, *arguments: str) -> None:
    """Runs one of PostgreSQL's programs to its end, which must be a good one."""
    process = await asyncio.create_subprocess_exec(
        binary(name), *arguments, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def tables(url: str) -> list[str]:
    """The names of all tables, which are those of the service."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
    finally:
        await connection.close()
    return [row["tablename"] for row in rows]


async def dump_of(url: str, dump: Path) -> None:
    """Writes a dump of the whole database, as of one snapshot."""
    await program("pg_dump", "--dbname", url, "-Fc", "--file", str(dump))


async def restore(url: str, dump: Path, *options: str) -> None:
    await program("pg_restore", "--dbname", url, "--no-owner", *options, str(dump))


async def in_place(url: str, dump: Path) -> None:
    await restore(url, dump, "--clean", "--if-exists")


async def into_a_new_schema(url: str, dump: Path) -> None:
    await execute(url, "drop schema public cascade; create schema public")
    await restore(url, dump)


async def data_only_after_truncate(url: str, dump: Path) -> None:
    await execute(url, f"truncate {', '.join(await tables(url))}")
    await restore(url, dump, "--data-only")


async def data_only_after_delete(url: str, dump: Path) -> None:
    names = sorted(await tables(url), reverse=True)
    await execute(url, "begin", *[f"delete from {name}" for name in names], "commit")
    await restore(url, dump, "--data-only")


async def into_a_new_database(url: str, dump: Path) -> None:
    name = database_of(url)
    postgres = with_database(url, "postgres")
    await execute(postgres, f"drop database {name} with (force)", f"create database {name}")
    await restore(url, dump)


async def all_at_once(url: str, dump: Path, *, data_only: bool) -> None:
    """Restores into a database that is in use, in one transaction, as often as that is rolled back."""
    async with asyncio.timeout(60):
        while True:
            try:
                if data_only:
                    await _data_at_once(url, dump)
                else:
                    await restore(url, dump, "--clean", "--if-exists", "--single-transaction")
            except AssertionError as error:
                if "deadlock detected" not in str(error):
                    raise
            else:
                return


async def _data_at_once(url: str, dump: Path) -> None:
    script = str(dump.with_suffix(".sql"))
    await program("pg_restore", "--data-only", "--disable-triggers", "--file", script, str(dump))
    emptied = f"truncate {', '.join(await tables(url))}"
    strictly = ("--single-transaction", "--set", "ON_ERROR_STOP=1", "--output", "/dev/null")
    await program("psql", "--dbname", url, *strictly, "--command", emptied, "--file", script)


async def copied(url: str, name: str, place: Path) -> str:
    """Restores a dump of a database as another one of the same server, and returns its URL."""
    await dump_of(url, place / f"{name}.dump")
    await execute(url, f"create database {name}")
    copy = with_database(url, name)
    await restore(copy, place / f"{name}.dump")
    return copy


def database_of(url: str) -> str:
    return urlsplit(url).path.strip("/")


def with_database(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()
