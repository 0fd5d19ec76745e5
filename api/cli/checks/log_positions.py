"""Checks that events can be appended to the log, and that the relay sees all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.cli.checks.finding import Finding, hint, ok, wrong
from domain.log import positions
from domain.log.backlog import MAX_COUNTED, backlog

if TYPE_CHECKING:
    import asyncpg


async def check(connection: asyncpg.Connection) -> list[Finding]:
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
