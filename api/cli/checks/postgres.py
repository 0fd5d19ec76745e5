"""Checks PostgreSQL: version, writability, durability, text, permissions, migrations, and the log in it."""

from __future__ import annotations

import asyncpg

from api.cli.checks import transactions
from api.cli.checks.finding import Finding, clock, hint, ok, unless_denied, wrong
from api.runtime import pgbouncer
from api.server_urls import reason
from api.settings import Settings
from domain.aggregates import AGGREGATES
from domain.connection_pool import CONNECTION_ERRORS, NO_WRITES, NOT_PRIMARY
from domain.log import positions
from domain.log.backlog import MAX_COUNTED, backlog
from domain.migrate import MigrationError, pending
from domain.migrate import check as check_migrated

MIN_VERSION = 150000

_GRANT = "grant pg_monitor and SELECT on all tables to it"

_REQUIRED_FOR_LOG = ("migrations", "permissions")
"""Findings without which the log cannot be read."""

_WRITES = " and ".join(
    f"has_table_privilege('{table}', '{privilege}')"
    for table, privilege in (
        ("events", "INSERT"),
        ("erasures", "DELETE"),
        ("commands", "DELETE"),
        *((aggregate.table, "UPDATE") for aggregate in AGGREGATES.values()),
    )
)
_READS = """
    has_table_privilege('events', 'SELECT') and has_table_privilege('skipped', 'SELECT')
    and has_table_privilege('erasures', 'SELECT')
"""


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


async def check(pool: asyncpg.Pool, settings: Settings) -> list[Finding]:
    """Checks in order of dependency, and ends at what makes the rest meaningless."""
    try:
        async with pool.acquire() as first, pool.acquire() as second:
            return await _check(first, second, settings)  # type: ignore[arg-type]
    except pgbouncer.POOLER_ERRORS as error:
        return [wrong("pooler", pgbouncer.advice(error))]
    except NOT_PRIMARY:
        return [wrong("PostgreSQL", NO_WRITES)]
    except CONNECTION_ERRORS as error:
        return [wrong("PostgreSQL", f"It cannot be reached ({reason(error)}); check DATABASE_URL.")]


async def _check(
    connection: asyncpg.Connection, other: asyncpg.Connection, settings: Settings
) -> list[Finding]:
    findings = [
        await _version(connection),
        await transactions.check_pooling(connection, other),
        await transactions.check_session(connection),
        clock("PostgreSQL's clock", await connection.fetchval("select clock_timestamp()")),
        await _durable(connection),
        *await unless_denied("encoding", _GRANT, _text(connection)),
        *await unless_denied("transactions", _GRANT, transactions.check(connection)),
        *await _migrated(connection, settings),
    ]
    if all(finding.level != "wrong" for finding in findings if finding.what in _REQUIRED_FOR_LOG):
        findings += await unless_denied("sequence", _GRANT, _positions(connection))
    return findings


async def _version(connection: asyncpg.Connection) -> Finding:
    number = int(await connection.fetchval("show server_version_num"))
    version = await connection.fetchval("show server_version")
    if number < MIN_VERSION:
        return wrong("PostgreSQL", f"Version {version} is too old; use 15 or newer.")
    return ok("PostgreSQL", str(version))


async def _durable(connection: asyncpg.Connection) -> Finding:
    if await connection.fetchval("show synchronous_commit") == "off":
        return hint(
            "durability",
            "synchronous_commit is off: the last commands that were acknowledged are lost in a crash.",
        )
    return ok("durability", "a commit is on disk when it is acknowledged")


async def _migrated(connection: asyncpg.Connection, settings: Settings) -> list[Finding]:
    try:
        if missing := await pending(connection):
            return [wrong("migrations", f"{', '.join(missing)} missing; run `tandem migrate`.")]
        permissions = await _permissions(connection)
        if permissions.level == "wrong":
            return [ok("migrations", "all applied"), permissions]
        await check_migrated(connection, settings.partitions)
    except MigrationError as error:
        return [wrong("migrations", str(error))]
    return [
        ok("migrations", "all applied"),
        ok("partitions", f"{settings.partitions} here and in the database"),
        permissions,
    ]


async def _permissions(connection: asyncpg.Connection) -> Finding:
    if not await connection.fetchval(f"select {_READS}"):
        return wrong("permissions", "This user may not read; grant SELECT on all tables to it.")
    if not await connection.fetchval(f"select {_WRITES}"):
        return wrong(
            "permissions",
            "This user may not write; grant INSERT, UPDATE and DELETE on all tables to it.",
        )
    return ok("permissions", "reads and writes")


async def _text(connection: asyncpg.Connection) -> list[Finding]:
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


async def _positions(connection: asyncpg.Connection) -> list[Finding]:
    return [await _sequence(connection), await _foreign(connection)]


async def _sequence(connection: asyncpg.Connection) -> Finding:
    try:
        fault = await positions.find_fault(connection.fetch)
    except positions.UnreadableSequence:
        return hint(
            "sequence",
            "Not checked: this user may not read the sequence of events.position; grant SELECT on it.",
        )
    if fault is not None:
        return wrong("sequence", fault)
    return ok("sequence", "continues after the last event")


async def _foreign(connection: asyncpg.Connection) -> Finding:
    partitions = await connection.fetchval("select partitions from topology")
    backlogs = await backlog(connection, dict.fromkeys(range(partitions)))
    counts = [one.foreign for one in backlogs.values()]
    if not any(counts):
        return ok("transaction numbers", "all events have numbers of this server")
    number = f"At least {sum(counts)}" if MAX_COUNTED in counts else f"{sum(counts)}"
    return hint(
        "transaction numbers",
        f"{number} events have transaction numbers that this server has not reached: the database was"
        " restored from a dump of a server with higher ones. A relay has the read models rebuilt, which"
        " includes them; see that one runs and that `tandem verify` reports no difference.",
    )
