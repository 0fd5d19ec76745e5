"""Checks poolers, and what keeps locks, old rows and WAL: old transactions, prepared ones, unused slots."""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from api.cli.checks.finding import Finding, hint, ok
from api.runtime.pgbouncer import UNSET

OLD_TRANSACTION = timedelta(minutes=5)
"""Age of a transaction from which a hint is given; of Tandem's only migrations come near it."""

MAX_RETAINED_WAL_BYTES = 1_000_000_000
"""WAL kept by an active slot from which a hint is given."""

_TIMEOUT_SECONDS = 1.0
"""Time limit for a pooler to assign a backend."""

_BACKEND = "select pg_backend_pid()"

_PREPARED = """
    select quote_literal(gid) as gid, owner, clock_timestamp() - prepared as age from pg_prepared_xacts
    where database = current_database() and prepared < clock_timestamp() - $1::interval
    order by prepared limit 3
"""

_OPEN = """
    select pid, usename, application_name, state, clock_timestamp() - xact_start as age from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
      and xact_start < clock_timestamp() - $1::interval order by xact_start limit 3
"""

_HIDDEN = """
    select count(*) from pg_stat_activity
    where datname = current_database() and query = '<insufficient privilege>'
"""

_SLOTS = """
    select slot_name, quote_literal(slot_name) as quoted, active,
           pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint as bytes
    from pg_replication_slots
    where not active or pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > $1 order by restart_lsn limit 3
"""


async def check(connection: asyncpg.Connection, old: timedelta = OLD_TRANSACTION) -> list[Finding]:
    findings = [
        *await _prepared(connection, old),
        *await _open(connection, old),
        *await _slots(connection),
    ]
    return findings or [ok("transactions", "no old one, and no slot keeps WAL")]


async def _prepared(connection: asyncpg.Connection, old: timedelta) -> list[Finding]:
    return [
        hint(
            "prepared",
            f"The prepared transaction {row['gid']} of {row['owner']} is {_minutes(row['age'])} old: it keeps"
            " its locks and old rows, and its events are not visible yet;"
            f" connect to this database and execute: commit prepared {row['gid']}; or: rollback prepared"
            f" {row['gid']};",
        )
        for row in await connection.fetch(_PREPARED, old)
    ]


async def _open(connection: asyncpg.Connection, old: timedelta) -> list[Finding]:
    findings = [
        hint(
            "transactions",
            f"A transaction of {row['usename']} ({row['application_name'] or 'no application_name'},"
            f" {row['state']}) has been open for {_minutes(row['age'])}: it keeps its locks and old rows;"
            f" end it, or execute: select pg_terminate_backend({row['pid']});",
        )
        for row in await connection.fetch(_OPEN, old)
    ]
    if hidden := await connection.fetchval(_HIDDEN):
        says = f"Not checked: this user may not see {hidden} sessions of others; grant it pg_read_all_stats."
        findings.append(hint("transactions", says))
    return findings


async def _slots(connection: asyncpg.Connection) -> list[Finding]:
    return [
        hint(
            "replication slot",
            f"The replication slot {row['slot_name']} {'is behind' if row['active'] else 'is not in use'}"
            f" and keeps {(row['bytes'] or 0) / 1e6:.0f} MB of WAL on the disk; if no standby or subscriber"
            f" needs it, execute: select pg_drop_replication_slot({row['quoted']});",
        )
        for row in await connection.fetch(_SLOTS, MAX_RETAINED_WAL_BYTES)
    ]


def _minutes(age: timedelta) -> str:
    return f"{age.total_seconds() / 60:.0f} min"


async def check_pooling(first: asyncpg.Connection, second: asyncpg.Connection) -> Finding:
    """Checks that a connection keeps its backend between two transactions. Raises POOLER_ERRORS.

    The second connection holds its backend in a transaction. A pooler has assigned it that of the first, or
    assigns another one to the first.
    """
    before = await first.fetchval(_BACKEND)
    async with second.transaction():
        held = await second.fetchval(_BACKEND)
        try:
            after = await first.fetchval(_BACKEND, timeout=_TIMEOUT_SECONDS)
        except TimeoutError:  # the pooler has no other backend
            after = held
    if before == after and before != held:
        return ok("pooler", "none between transactions")
    return hint(
        "pooler",
        "A pooler assigns a backend for each transaction, and prepares our statements there; let"
        " `tandem migrate` connect without it, and run single roles rather than `tandem serve`.",
    )


async def check_session(connection: asyncpg.Connection) -> Finding:
    """Checks our session settings, which a pooler with ignore_startup_parameters drops silently."""
    unset = [
        name
        for name, value in UNSET.items()
        if await connection.fetchval("select current_setting($1)", name) == value
    ]
    if unset:
        return hint(
            "session",
            f"A pooler drops {', '.join(unset)}; set them for our role (alter role ... set ...).",
        )
    return ok("session", "has the time limits that we set")
