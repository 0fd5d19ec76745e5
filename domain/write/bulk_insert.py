"""Builds the statement that creates many users, each with its event and the result of its command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from domain.envelope import encode
from domain.users.events import email_key
from domain.write.sql import USER, Statement, Write, result_values

_SAME_FOR_NEW_USERS: Final = {"version": "1", "updated_at": "created_at", "erased_at": "null"}

_BULK = {
    **{name: type_ for name, type_ in USER.items() if name not in _SAME_FOR_NEW_USERS},
    "key": "bytea",
    "fingerprint": "bytea",
    "partition": "smallint",
    "data": "jsonb",
    "metadata": "jsonb",
}
"""The columns of a created user with its event, and their types: each is an array parameter."""

_ARRAYS = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(_BULK.values(), 1))

# Sorted, so that two of these statements wait for each other in one direction only. A statement that waits
# 100 ms for a transaction makes all its users wait: then it writes none, and each user is retried alone.
# Keys are looked up one by one: a plan that was made while `commands` was small would read all of it.
BULK_INSERT = f"""
    with given as materialized (
        select g.*
        from set_config('lock_timeout', '100ms', true), unnest({_ARRAYS}) as g ({", ".join(_BULK)})
        where (select true from commands c where c.key = g.key) is null
    ), written as (
        insert into users ({", ".join(USER)})
        select {", ".join(_SAME_FOR_NEW_USERS.get(column, column) for column in USER)}
        from given order by email_key
        on conflict do nothing
        returning id
    ), stored_results as (
        insert into commands (key, fingerprint, id, user_id, version, answered_at)
        select key, fingerprint, id, id, 1, created_at
        from written join given using (id) where key is not null order by key
    )
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    select partition, id, 1, ${len(_BULK) + 1}, ${len(_BULK) + 2}::smallint, data, metadata, created_at
    from written join given using (id)
    returning user_id
"""


def build_bulk_insert(writes: Sequence[Write]) -> Statement:
    """Builds the statement that creates many users, each with one event of the same type.

    It returns the ids of the users it created: those without a conflict.
    """
    encoded = [encode(event) for write in writes for event in write.events]
    rows = [_bulk_values(write, data) for write, (_, _, data) in zip(writes, encoded, strict=True)]
    tag, schema, _ = encoded[0]
    return BULK_INSERT, [*map(list, zip(*rows, strict=True)), tag, schema]


def _bulk_values(write: Write, data: str) -> tuple[object, ...]:
    user = write.after
    key, digest, _ = result_values(write.command, write.before) or (None, None, None)
    return (
        *(user.id, user.name, user.email, email_key(user.email), user.created_at, user.secret),
        *(key, digest, write.partition, data, write.metadata),
    )
