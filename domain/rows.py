"""The statements of the store, and how rows become values and values become rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
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

# Everything a command writes, in one statement, so in one round trip and one transaction. `written` comes
# back empty, and so does everything else, when the user is no longer in the version we decided on ($2).
# An INSERT ... ON CONFLICT would be shorter, but where many write one user it may report the user's own
# address as taken.
WRITE = """
    with created as (
        insert into users (id, version, name, email, email_key, created_at, updated_at, erased_at, secret)
        select $1::uuid, $3::integer, $4::text, $5::text, $6::text, $7::timestamptz, $8::timestamptz,
               $9::timestamptz, $25::uuid
        where $2::integer = 0
        returning id
    ), changed as (
        update users
        set version = $3, name = $4, email = $5, email_key = $6, updated_at = $8, erased_at = $9,
            secret = $25
        where id = $1 and version = $2
        returning id
    ), written as (
        select id from created union all select id from changed
    ), ordered as (
        insert into orders (id, user_id, status, total, placed_at, closed_at)
        select o.id, w.id, o.status, o.total, o.placed_at, o.closed_at
        from written w, unnest($10::uuid[], $11::text[], $12::bigint[], $13::timestamptz[],
                               $14::timestamptz[]) as o (id, status, total, placed_at, closed_at)
        on conflict (id) do update set (status, closed_at) = (excluded.status, excluded.closed_at)
    ), remembered as (
        insert into commands (key, fingerprint, id, user_id, version, answered_at)
        select $15::bytea, $16::bytea, $17::uuid, w.id, $3, $8 from written w where $15::bytea is not null
    ), blanked as (
        update events e
        set data = e.data || (select coalesce(jsonb_object_agg(field, ''), '{}')
                              from jsonb_object_keys(e.data) as field where field = any($18::text[]))
        from written w where $9::timestamptz is not null and e.user_id = w.id
    ), logged as (
        insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
        select $19::smallint, w.id, e.version, e.type, e.schema, e.data::jsonb, $20::text::jsonb, $8
        from written w, unnest($21::int[], $22::text[], $23::smallint[], $24::text[])
             as e (version, type, schema, data)
        order by e.version
    )
    select id from written
"""

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
) -> tuple[object, ...]:
    """The arguments of a WRITE: the user's rows as they shall be, and the events that made them so."""
    orders = [order for order in after.orders.values() if before.orders.get(order.id) != order]
    encoded = [encode(event) for event in events]
    return (
        after.id,
        before.version,
        after.version,
        after.name,
        after.email,
        None if after.erased_at else email_key(after.email),
        after.created_at,
        now,
        after.erased_at,
        [order.id for order in orders],
        [order.status for order in orders],
        [order.total for order in orders],
        [order.placed_at for order in orders],
        [order.closed_at for order in orders],
        key_digest(command.idempotency_key),
        command.fingerprint(before.secret) if command.idempotency_key else None,
        command.subject,
        PERSONAL,
        partition_of(after.id, partitions),
        msgspec.json.encode(metadata).decode(),
        [before.version + number for number in range(1, len(events) + 1)],
        [tag for tag, _, _ in encoded],
        [schema for _, schema, _ in encoded],
        [data for _, _, data in encoded],
        after.secret,
    )


def to_remember(command: Command, user: User, answer: Answer, now: datetime) -> tuple[object, ...]:
    """The arguments of a REMEMBER."""
    key, fingerprint = key_digest(command.idempotency_key), command.fingerprint(user.secret)
    return key, fingerprint, answer.id, answer.user_id, answer.version, now


def key_digest(key: str | None) -> bytes | None:
    """What is kept of an idempotency key: clients make them up of anything, addresses too."""
    return None if key is None else hashlib.sha256(key.encode()).digest()
