"""The statements of the store: a command needs one to read and one to write, a creation only the second."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import Final

from domain.log.erasures import BLANK, SLICE

LOAD = """
    select u.*, o.id as order_id, o.status, o.total, o.placed_at, o.closed_at,
           c.fingerprint, c.id as answer_id, c.user_id as answer_user_id, c.version as answer_version,
           a.secret as answer_secret
    from (select $1::uuid as user_id, $2::uuid as order_id, $3::bytea as key) as asked
    left join orders o on o.id = asked.order_id
    left join users u on u.id = coalesce(asked.user_id, o.user_id)
    left join commands c on c.key = asked.key
    left join users a on a.id = c.user_id
"""

USER: Final = {
    "id": "uuid",
    "version": "integer",
    "name": "text",
    "email": "text",
    "email_key": "text",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "erased_at": "timestamptz",
    "secret": "uuid",
}
"""The columns of a user, in the order of the first parameters of a write, and their types."""

_COLUMNS = list(USER)
_GIVEN = [f"${number}" for number in range(1, len(USER) + 1)]

_CREATED = f"insert into users ({', '.join(_COLUMNS)}) values ({', '.join(_GIVEN)})"

# An INSERT ... ON CONFLICT would do for both, but where many write one user it may report the user's own
# address as taken.
# The key of a user is kept for as long as the address is: domain/users/email_keys.py may have changed it.
_GIVEN_KEY = "case when users.email = $4 then users.email_key else $5 end"
_NEXT = [
    _GIVEN_KEY if column == "email_key" else given
    for column, given in zip(_COLUMNS, _GIVEN, strict=True)
]

_CHANGED = f"""
    update users set ({", ".join(_COLUMNS[1:])}) = ({", ".join(_NEXT[1:])})
    where id = $1 and version = ${len(USER) + 1}
"""

_ORDER = ("uuid", "text", "bigint", "timestamptz", "timestamptz")

_ORDERED = """, ordered as (
    insert into orders (id, user_id, status, total, placed_at, closed_at)
    select o.id, w.id, o.status, o.total, o.placed_at, o.closed_at
    from written w, (values {}) as o (id, status, total, placed_at, closed_at)
    on conflict (id) do update set (status, closed_at) = (excluded.status, excluded.closed_at)
)"""

_ANSWER = ("bytea", "bytea", "uuid")

_REMEMBERED = """, remembered as (
    insert into commands (key, fingerprint, id, user_id, version, answered_at)
    select c.key, c.fingerprint, c.id, w.id, w.version, w.updated_at
    from written w, (values {}) as c (key, fingerprint, id)
)"""

# The first slice. `domain/log/erasures.py` blanks what is behind it, and hides it from readers until then.
_BLANKED = f""", blanked as (
    update events e set data = {BLANK}
    from written w where e.user_id = w.id and e.version <= {SLICE} and e.data <> {BLANK}
), unfinished as (
    insert into erasures (user_id, blanked, last, erased_at)
    select id, {SLICE}, version - 1, updated_at from written where version - 1 > {SLICE}
)"""

_EVENT = ("smallint", "integer", "text", "smallint", "jsonb", "jsonb")

_LOGGED = """
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    select e.partition, w.id, e.version, e.type, e.schema, e.data, e.metadata, w.updated_at
    from written w, (values {}) as e (partition, version, type, schema, data, metadata)
    order by e.version
    returning version
"""


@cache
def write(creates: bool, orders: int, keyed: bool, erases: bool, events: int) -> str:
    """All that a command writes, in one statement, so in one round trip and one transaction.

    It has the parts that this command needs, and parameters in the order of `to_write`. Nothing is written,
    and no row comes back, when the user is no longer in the version that was decided on.
    """
    numbers = count(len(USER) + 1 if creates else len(USER) + 2)

    def given(rows: int, row: Sequence[str]) -> str:
        return ", ".join(
            "(" + ", ".join(f"${next(numbers)}::{type_}" for type_ in row) + ")"
            for _ in range(rows)
        )

    return "".join(
        (
            f"with written as ({_CREATED if creates else _CHANGED} returning id, version, updated_at)",
            _ORDERED.format(given(orders, _ORDER)) if orders else "",
            _REMEMBERED.format(given(1, _ANSWER)) if keyed else "",
            _BLANKED if erases else "",
            _LOGGED.format(given(events, _EVENT)),
        )
    )


_NEW: Final = {"version": "1", "updated_at": "created_at", "erased_at": "null"}
"""What is the same for every user who has just been created."""

OF_A_NEW_USER: Final = [column for column in USER if column not in _NEW]
"""What is not."""

_GROUP = {
    **{column: USER[column] for column in OF_A_NEW_USER},
    "key": "bytea",
    "fingerprint": "bytea",
    "partition": "smallint",
    "data": "jsonb",
    "metadata": "jsonb",
}

_ARRAYS = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(_GROUP.values(), 1))

# Sorted, so that two of these wait for each other in one direction only. Whoever waits for a transaction that
# is not done in this time makes all others here wait: then nobody is written, and each is tried alone.
# Keys are looked up one by one: a plan that was made while `commands` was small would read all of it.
CREATE_MANY = f"""
    with given as materialized (
        select g.*
        from set_config('lock_timeout', '100ms', true), unnest({_ARRAYS}) as g ({", ".join(_GROUP)})
        where (select true from commands c where c.key = g.key) is null
    ), written as (
        insert into users ({", ".join(USER)})
        select {", ".join(_NEW.get(column, column) for column in USER)} from given order by email_key
        on conflict do nothing
        returning id
    ), remembered as (
        insert into commands (key, fingerprint, id, user_id, version, answered_at)
        select key, fingerprint, id, id, 1, created_at
        from written join given using (id) where key is not null order by key
    )
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    select partition, id, 1, ${len(_GROUP) + 1}, ${len(_GROUP) + 2}::smallint, data, metadata, created_at
    from written join given using (id)
    returning user_id
"""
"""Creates many users, each with its event; gives the ids of those who were not in conflict with anybody."""

REMEMBER = """
    insert into commands (key, fingerprint, id, user_id, version, answered_at)
    select $1::bytea, $2::bytea, $3::uuid, id, version, $6::timestamptz
    from users where id = $4 and version = $5
    returning version
"""
"""Stores the result of a command that changed nothing; no row if the user has another version by now."""
