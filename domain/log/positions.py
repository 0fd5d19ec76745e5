"""Checks the sequence of event positions against the events that exist.

A copy of the rows alone (logical replication, a dump of the data, COPY) leaves the sequence below the highest
position. Then events_pkey rejects the insert of an event, or the event gets a position below older events.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Fetch = Callable[[str], Awaitable[list[Any]]]
"""Executes a statement and returns its rows."""

_SEQUENCE = """
    select sequence, quote_literal(sequence) as quoted,
           has_sequence_privilege(sequence, 'SELECT') as readable
    from pg_get_serial_sequence('events', 'position') as sequence
"""

# One index lookup for each partition: without the partition the whole log would be read.
_HIGHEST_POSITION = """
    select max(of_one.highest) as highest
    from topology, generate_series(0, partitions - 1) as number,
         lateral (select max(position) as highest from events where partition = number) as of_one
"""


class UnreadableSequence(Exception):
    """The role may not read the sequence."""


async def find_fault(fetch: Fetch) -> str | None:
    """Returns what is wrong with the sequence and what to do, if anything. Raises UnreadableSequence."""
    [row] = await fetch(_SEQUENCE)
    if row["sequence"] is None:
        return (
            "The column events.position has no sequence, so no event can be written: create the tables"
            " with `tandem migrate` in an empty database, and copy the rows into them."
        )
    if not row["readable"]:
        raise UnreadableSequence
    # In this order: events that are inserted between the two statements advance the sequence too.
    [[highest]] = await fetch(_HIGHEST_POSITION)
    [[next_position]] = await fetch(f"select last_value + is_called::int from {row['sequence']}")
    if highest is None or next_position > highest:
        return None
    return (
        f"The sequence of events.position continues at {next_position}, but the log has events up to position"
        f" {highest}, as after a copy of the rows without the sequence; run this statement as the owner of"
        f" the table: select setval({row['quoted']}, {highest});"
    )
