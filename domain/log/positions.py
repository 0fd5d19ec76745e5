"""The sequence that positions of events are drawn from, compared with the events that exist.

A copy of the rows alone (logical replication, a dump of the data, COPY) leaves the sequence behind the
highest position. Then the insert of an event is rejected by events_pkey, or the event gets a position before
older events.
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

# One lookup in events_pkey for each partition: without the partition all of the log would be read.
_HIGHEST = """
    select max(of_one.highest) as highest
    from topology, generate_series(0, partitions - 1) as number,
         lateral (select max(position) as highest from events where partition = number) as of_one
"""


class UnreadableSequence(Exception):
    """The role may not read the sequence."""


async def fault(fetch: Fetch) -> str | None:
    """Returns the sentence that says what is wrong with the sequence and what to do; None if nothing is.

    Raises Unreadable, and what `fetch` raises.
    """
    [row] = await fetch(_SEQUENCE)
    if row["sequence"] is None:
        return (
            "The column events.position has no sequence, so no event can be written: create the tables"
            " with `tandem migrate` in an empty database, and copy the rows into them."
        )
    if not row["readable"]:
        raise UnreadableSequence
    # In this order: events that are written between the two statements move the sequence, too.
    [[highest]] = await fetch(_HIGHEST)
    [[following]] = await fetch(f"select last_value + is_called::int from {row['sequence']}")
    if highest is None or following > highest:
        return None
    return (
        f"The sequence of events.position continues at {following}, but the log has events up to position"
        f" {highest}, as after a copy of the rows without the sequence; run this statement as the owner of"
        f" the table: select setval({row['quoted']}, {highest});"
    )
