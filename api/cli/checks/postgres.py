"""Checks PostgreSQL: version, writability, durability, permissions and migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from api.cli.checks import log_positions, text_encoding, transaction_pooling, transactions
from api.cli.checks.finding import Finding, clock, hint, ok, unless_denied, wrong
from api.runtime import pgbouncer
from api.server_urls import reason
from domain.aggregates import AGGREGATES
from domain.connection_pool import NO_WRITES, NOT_PRIMARY
from domain.migrate import MigrationError, pending
from domain.migrate import check as check_migrated
from domain.write.database import UNAVAILABLE_ERRORS

if TYPE_CHECKING:
    from api.settings import Settings

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


async def check(pool: asyncpg.Pool, settings: Settings) -> list[Finding]:
    """Checks in order of dependency, and ends at what makes the rest meaningless."""
    try:
        async with pool.acquire() as first, pool.acquire() as second:
            return await _check(first, second, settings)  # type: ignore[arg-type]
    except pgbouncer.POOLER_ERRORS as error:
        return [wrong("pooler", pgbouncer.advice(error))]
    except NOT_PRIMARY:
        return [wrong("PostgreSQL", NO_WRITES)]
    except (*UNAVAILABLE_ERRORS, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return [wrong("PostgreSQL", f"It cannot be reached ({reason(error)}); check DATABASE_URL.")]


async def _check(
    connection: asyncpg.Connection, other: asyncpg.Connection, settings: Settings
) -> list[Finding]:
    findings = [
        await _version(connection),
        await transaction_pooling.check(connection, other),
        await transaction_pooling.check_session(connection),
        clock("PostgreSQL's clock", await connection.fetchval("select clock_timestamp()")),
        await _durable(connection),
        *await unless_denied("encoding", _GRANT, text_encoding.check(connection)),
        *await unless_denied("transactions", _GRANT, transactions.check(connection)),
        *await _migrated(connection, settings),
    ]
    if all(finding.level != "wrong" for finding in findings if finding.what in _REQUIRED_FOR_LOG):
        findings += await unless_denied("sequence", _GRANT, log_positions.check(connection))
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
