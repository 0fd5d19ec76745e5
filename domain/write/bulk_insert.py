"""Builds the statement that creates many aggregates, each with its event and the result of its command."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import compress
from typing import Final

from domain.aggregate_contract import Aggregate
from domain.envelope import STORED_ID, encode
from domain.tables import listed
from domain.write.sql import Statement, Write, result_values

_SAME_FOR_NEW: Final = {"version": "1", "updated_at": "created_at", "erased_at": "null"}
"""Columns that need no parameter."""

_OF_THE_COMMAND: Final = {
    "command_key": "bytea",
    "command_digest": "bytea",
    "event_partition": "smallint",
    "event_data": "jsonb",
    "event_metadata": "jsonb",
}


def build_bulk_insert(writes: Sequence[Write]) -> Statement:
    """Builds the statement for writes of one group. It returns the ids of those without a conflict."""
    aggregate = writes[0].command.aggregate
    given, root = _given_columns(aggregate), aggregate.root
    rows = []
    for write in writes:
        tag, schema, data = encode(aggregate.name, write.events[0])
        key, digest, _ = result_values(write.command, write.before) or (None, None, None)
        values = compress(root.values(write.after), given)
        rows.append((*values, key, digest, write.partition, data, write.metadata))
    return bulk_insert(aggregate), [*map(list, zip(*rows, strict=True)), tag, schema]


@cache
def bulk_insert(aggregate: Aggregate) -> str:
    """Returns the text of the statement; each column is an array parameter.

    Rows are sorted, so that two of these statements wait for each other in one direction only. A statement
    that waits 100 ms for a transaction makes all its rows wait: then it writes none, and each is retried
    alone. Keys are looked up one by one: a plan that was made while `commands` was small would read
    all of it.
    """
    root = aggregate.root
    given = {name: type_ for name, type_ in root.columns.items() if name not in _SAME_FOR_NEW}
    given |= _OF_THE_COMMAND
    arrays = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(given.values(), 1))
    order = listed([*(key.column for key in aggregate.unique), "id"])
    return f"""
        with given as materialized (
            select g.*
            from set_config('lock_timeout', '100ms', true), unnest({arrays}) as g ({listed(given)})
            where (select true from commands c where c.key = g.command_key) is null
        ), written as (
            insert into {root.name} ({listed(root.columns)})
            select {", ".join(_SAME_FOR_NEW.get(column, f'"{column}"') for column in root.columns)}
            from given order by {order}
            on conflict do nothing
            returning id
        ), stored_results as (
            insert into commands (key, fingerprint, id, {STORED_ID}, version, answered_at)
            select command_key, command_digest, id, id, 1, created_at
            from written join given using (id) where command_key is not null order by command_key
        )
        insert into events
            (partition, aggregate, {STORED_ID}, version, type, schema, data, metadata, occurred_at)
        select event_partition, '{aggregate.name}', id, 1, ${len(given) + 1}, ${len(given) + 2}::smallint,
               event_data, event_metadata, created_at
        from written join given using (id)
        returning {STORED_ID} as id
    """


@cache
def _given_columns(aggregate: Aggregate) -> list[bool]:
    """Returns of each column whether its values are parameters."""
    return [column not in _SAME_FOR_NEW for column in aggregate.root.columns]
