"""Builds the statements that write, each with its arguments: all rows and events of a command in one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from itertools import count
from typing import Final, NamedTuple

from domain.command import Command, CommandResult
from domain.envelope import encode
from domain.log.erasures import BLANK, SLICE
from domain.users.events import Event, email_key
from domain.users.state import Order, User
from domain.write import rows

Statement = tuple[str, Sequence[object]]
"""The text of a statement, and its arguments in the order of their numbers."""


class Write(NamedTuple):
    """The change that a command makes: the user before and after it, and the events that made it."""

    command: Command
    before: User
    after: User
    events: Sequence[Event]
    metadata: str
    """The metadata of the events, as JSON."""
    partition: int


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
"""The columns of a user and their types, in the order of the first parameters of a write."""


def _user_values(user: User) -> tuple[object, ...]:
    return (
        user.id,
        user.version,
        user.name,
        user.email,
        None if user.erased_at else email_key(user.email),
        user.created_at,
        user.updated_at,
        user.erased_at,
        user.secret,
    )


_COLUMNS = list(USER)
_PARAMETERS = [f"${number}" for number in range(1, len(USER) + 1)]

_INSERT_USER = f"insert into users ({', '.join(_COLUMNS)}) values ({', '.join(_PARAMETERS)})"

# The key stays for as long as the address does: domain/users/email_keys.py may have changed it.
_KEY = "case when users.email = $4 then users.email_key else $5 end"
_NEW_VALUES = [
    _KEY if column == "email_key" else parameter
    for column, parameter in zip(_COLUMNS, _PARAMETERS, strict=True)
]

# INSERT ... ON CONFLICT could do both, but with concurrent writes of one user it may report the user's own
# address as taken.
_UPDATE_USER = f"""
    update users set ({", ".join(_COLUMNS[1:])}) = ({", ".join(_NEW_VALUES[1:])})
    where id = $1 and version = ${len(USER) + 1}
"""

_ORDER = ("uuid", "text", "bigint", "timestamptz", "timestamptz")

_UPSERT_ORDERS = """, upserted_orders as (
    insert into orders (id, user_id, status, total, placed_at, closed_at)
    select o.id, w.id, o.status, o.total, o.placed_at, o.closed_at
    from written w, (values {}) as o (id, status, total, placed_at, closed_at)
    on conflict (id) do update set (status, closed_at) = (excluded.status, excluded.closed_at)
)"""


def _order_values(order: Order) -> tuple[object, ...]:
    return order.id, order.status, order.total, order.placed_at, order.closed_at


_RESULT = ("bytea", "bytea", "uuid")

_INSERT_RESULT = """, stored_result as (
    insert into commands (key, fingerprint, id, user_id, version, answered_at)
    select c.key, c.fingerprint, c.id, w.id, w.version, w.updated_at
    from written w, (values {}) as c (key, fingerprint, id)
)"""


def result_values(command: Command, user: User) -> tuple[object, ...]:
    """Returns key, digest and id; no values if the command has no idempotency key."""
    if command.idempotency_key is None:
        return ()
    key = rows.key_digest(command.idempotency_key)
    return key, command.request_digest(user.secret), command.target_id


# The first slice. `domain/log/erasures.py` blanks later events, and hides their data from readers until then.
_BLANK_EVENTS = f""", blanked as (
    update events e set data = {BLANK}
    from written w where e.user_id = w.id and e.version <= {SLICE} and e.data <> {BLANK}
), unfinished as (
    insert into erasures (user_id, blanked, last, erased_at)
    select id, {SLICE}, version - 1, updated_at from written where version - 1 > {SLICE}
)"""

_EVENT = ("smallint", "integer", "text", "smallint", "jsonb", "jsonb")

_INSERT_EVENTS = """
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    select e.partition, w.id, e.version, e.type, e.schema, e.data, e.metadata, w.updated_at
    from written w, (values {}) as e (partition, version, type, schema, data, metadata)
    order by e.version
    returning version
"""


def build_write(write: Write) -> Statement:
    """Builds the statement that writes everything in one round trip and one transaction.

    It writes and returns no row if the user is no longer in the version that the command was decided on.
    """
    _, before, after, events, metadata, partition = write
    orders = [order for order in after.orders.values() if before.orders.get(order.id) != order]
    result = result_values(write.command, before)
    text = write_statement(
        creates=not before.version,
        orders=len(orders),
        keyed=bool(result),
        erases=after.erased_at is not None,
        events=len(events),
    )
    arguments = [*_user_values(after), *([before.version] if before.version else [])]
    for order in orders:
        arguments += _order_values(order)
    arguments += result
    for version, event in enumerate(events, before.version + 1):
        arguments += (partition, version, *encode(event), metadata)
    return text, arguments


@cache
def write_statement(*, creates: bool, orders: int, keyed: bool, erases: bool, events: int) -> str:
    """Returns the text of a write, with so many orders and events; `keyed`: with an idempotency key."""
    numbers = count(len(USER) + 1 if creates else len(USER) + 2)

    def values(rows: int, types: Sequence[str]) -> str:
        return ", ".join(
            "(" + ", ".join(f"${next(numbers)}::{type_}" for type_ in types) + ")"
            for _ in range(rows)
        )

    user = _INSERT_USER if creates else _UPDATE_USER
    return "".join(
        (
            f"with written as ({user} returning id, version, updated_at)",
            _UPSERT_ORDERS.format(values(orders, _ORDER)) if orders else "",
            _INSERT_RESULT.format(values(1, _RESULT)) if keyed else "",
            _BLANK_EVENTS if erases else "",
            _INSERT_EVENTS.format(values(events, _EVENT)),
        )
    )


_STORE_RESULT = """
    insert into commands (key, fingerprint, id, user_id, version, answered_at)
    select $1::bytea, $2::bytea, $3::uuid, id, version, $6::timestamptz
    from users where id = $4 and version = $5
    returning version
"""


def build_store_result(
    command: Command, user: User, result: CommandResult, now: datetime
) -> Statement:
    """Builds the statement that stores the result of a command without events, under its key.

    It returns no row if the user no longer has the version of the result.
    """
    values = result_values(command, user)
    return _STORE_RESULT, (*values, result.user_id, result.version, now)
