"""Checks the encoding of the database and the versions of its collations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.cli.checks.finding import Finding, hint, ok, wrong

if TYPE_CHECKING:
    import asyncpg

_DATABASE = """
    select quote_ident(datname) as name, pg_encoding_to_char(encoding) as encoding,
           datcollversion as recorded, pg_database_collation_actual_version(oid) as actual
    from pg_database where datname = current_database()
"""

_COLLATIONS = """
    select string_agg(format('%I.%I', nspname, collname), ', ' order by nspname, collname)
    from pg_collation c join pg_namespace n on n.oid = collnamespace
    where collversion is distinct from pg_collation_actual_version(c.oid) and collversion is not null
"""


async def check(connection: asyncpg.Connection) -> list[Finding]:
    row = await connection.fetchrow(_DATABASE)
    assert row is not None
    return [_encoding(row), await _collation(connection, row)]


def _encoding(row: asyncpg.Record) -> Finding:
    if row["encoding"] == "UTF8":
        return ok("encoding", "UTF8")
    return wrong(
        "encoding",
        f"The encoding of the database is {row['encoding']}, so commands with other characters fail; copy"
        " it into one with UTF8 (create database ... encoding 'UTF8' template template0) and set"
        " DATABASE_URL to that.",
    )


async def _collation(connection: asyncpg.Connection, row: asyncpg.Record) -> Finding:
    """Checks that text is ordered as in the indexes, which an update of the system's libraries may change."""
    if row["recorded"] is not None and row["recorded"] != row["actual"]:
        return wrong(
            "collation",
            f"Text is ordered by version {row['actual']} of the collation, and the indexes by"
            f" {row['recorded']}, so an aggregate may not be found by a unique text, or exist twice; execute:"
            f" reindex database {row['name']}; alter database {row['name']} refresh collation version;",
        )
    if others := await connection.fetchval(_COLLATIONS):
        return hint(
            "collation",
            f"The version of {others} has changed since it was created; reindex your tables that use it,"
            " then execute: alter collation ... refresh version;",
        )
    return ok("collation", "of the version that the indexes were created with")
