"""The statements of the store, and how rows become values and values become rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from domain.command import Answer, Command
from domain.events import PERSONAL, Event, UserId, email_key, encode, partition_of
from domain.refusals import IdempotencyKeyReused, Refusal
from domain.user import Order, User

if TYPE_CHECKING:
    import asyncpg

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

_USER = [
    "id",
    "version",
    "name",
    "email",
    "email_key",
    "created_at",
    "updated_at",
    "erased_at",
    "secret",
]
"""The columns of a user, in the order of the first parameters of a write."""

_GIVEN = [f"${number}" for number in range(1, len(_USER) + 1)]

_CREATED = f"insert into users ({', '.join(_USER)}) values ({', '.join(_GIVEN)})"

# An INSERT ... ON CONFLICT would do for both, but where many write one user it may report the user's own
# address as taken.
_CHANGED = f"""
    update users set ({", ".join(_USER[1:])}) = ({", ".join(_GIVEN[1:])})
    where id = $1 and version = ${len(_USER) + 1}
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

_BLANKED = f""", blanked as (
    update events e
    set data = e.data || (select coalesce(jsonb_object_agg(field, ''), '{{}}')
                          from jsonb_object_keys(e.data) as field where field in {PERSONAL})
    from written w where e.user_id = w.id
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
    numbers = count(len(_USER) + 1 if creates else len(_USER) + 2)

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


REMEMBER = """
    insert into commands (key, fingerprint, id, user_id, version, answered_at)
    values ($1, $2, $3, $4, $5, $6)
"""


def unknown(user_id: UserId) -> User:
    """A user not yet created."""
    return User(id=user_id, secret=uuid4())


def user_in(row: asyncpg.Record, user_id: UserId) -> User:
    """The user and the order of a LOAD; without a row of its own it is a user not yet created."""
    if row["id"] is None:
        return unknown(user_id)
    return User(
        id=row["id"],
        name=row["name"],
        email=row["email"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        erased_at=row["erased_at"],
        secret=row["secret"],
        orders={} if row["order_id"] is None else {row["order_id"]: _order_in(row)},
    )


def _order_in(row: asyncpg.Record) -> Order:
    return Order(
        id=row["order_id"],
        status=row["status"],
        total=row["total"],
        placed_at=row["placed_at"],
        closed_at=row["closed_at"],
    )


def earlier_in(row: asyncpg.Record, command: Command) -> Answer | Refusal | None:
    """The answer that the command's idempotency key had before, if it had one."""
    kept = row["fingerprint"]
    if kept is None:
        return None
    asked = command.fingerprint(row["answer_secret"])
    # One is shorter once the user is erased, or if it is from before they were keyed.
    if kept[: len(asked)] != asked[: len(kept)]:
        return IdempotencyKeyReused()
    return Answer(id=row["answer_id"], user_id=row["answer_user_id"], version=row["answer_version"])


def to_write(
    command: Command,
    before: User,
    after: User,
    events: Sequence[Event],
    *,
    metadata: Mapping[str, str],
    partitions: int,
    now: datetime,
) -> tuple[str, list[object]]:
    """A `write` and its arguments: the user's rows as they shall be, and the events that made them so."""
    creates, erases = not before.version, after.erased_at is not None
    arguments: list[object] = [
        after.id,
        after.version,
        after.name,
        after.email,
        None if erases else email_key(after.email),
        after.created_at,
        now,
        after.erased_at,
        after.secret,
    ]
    if not creates:
        arguments.append(before.version)
    orders = [order for order in after.orders.values() if before.orders.get(order.id) != order]
    for order in orders:
        arguments += (order.id, order.status, order.total, order.placed_at, order.closed_at)
    key = key_digest(command.idempotency_key)
    if key is not None:
        arguments += (key, command.fingerprint(before.secret), command.subject)
    partition, circumstances = (
        partition_of(after.id, partitions),
        msgspec.json.encode(metadata).decode(),
    )
    for version, event in enumerate(events, before.version + 1):
        arguments += (partition, version, *encode(event), circumstances)
    return write(creates, len(orders), key is not None, erases, len(events)), arguments


def to_remember(command: Command, user: User, answer: Answer, now: datetime) -> tuple[object, ...]:
    """The arguments of a REMEMBER."""
    key, fingerprint = key_digest(command.idempotency_key), command.fingerprint(user.secret)
    return key, fingerprint, answer.id, answer.user_id, answer.version, now


def key_digest(key: str | None) -> bytes | None:
    """What is kept of an idempotency key: clients make them up of anything, addresses too."""
    return None if key is None else hashlib.sha256(key.encode()).digest()
