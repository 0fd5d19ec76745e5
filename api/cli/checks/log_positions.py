"""The event log: whether events can be appended, and whether the relay sees all that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.cli.checks.finding import Finding, hint, ok, wrong
from domain.log import positions

if TYPE_CHECKING:
    import asyncpg

MAX_COUNTED = 10_000
"""Events of a partition that are counted."""

# What is visible has committed, so this server gave it a number below the next one, unless another did.
_FOREIGN = f"""
    with this as materialized (select pg_snapshot_xmax(pg_current_snapshot()) as following)
    select coalesce(sum(of_one.number), 0)::bigint as number, max(of_one.number) as most
    from this, topology, generate_series(0, partitions - 1) as partition_number, lateral (
        select count(*) as number from (
            select 1 from events where partition = partition_number and xid >= following limit {MAX_COUNTED}
        ) as foreign_events
    ) as of_one
"""


async def look(connection: asyncpg.Connection) -> list[Finding]:
    return [await _sequence(connection), await _foreign(connection)]


async def _sequence(connection: asyncpg.Connection) -> Finding:
    try:
        fault = await positions.fault(connection.fetch)
    except positions.UnreadableSequence:
        return hint(
            "sequence",
            "Not checked: this user may not read the sequence of events.position; grant SELECT on it.",
        )
    if fault is not None:
        return wrong("sequence", fault)
    return ok("sequence", "continues behind the last event")


async def _foreign(connection: asyncpg.Connection) -> Finding:
    row = await connection.fetchrow(_FOREIGN)
    assert row is not None
    if not row["number"]:
        return ok("transaction numbers", "all events have numbers of this server")
    number = f"At least {row['number']}" if row["most"] == MAX_COUNTED else f"{row['number']}"
    return hint(
        "transaction numbers",
        f"{number} events have transaction numbers that this server has not reached: the database was"
        " restored from a dump of a server with higher ones. A relay has the read models rebuilt, which"
        " carries them; see that one runs, and that `tandem verify` reports no difference.",
    )
