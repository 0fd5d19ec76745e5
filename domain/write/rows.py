"""Loads what a command needs in one row: user, order, and the stored result of its idempotency key."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from uuid import uuid4

from domain.command import Command, CommandResult
from domain.refusal import IdempotencyKeyReused, Refusal
from domain.users.events import UserId
from domain.users.state import Order, User

if TYPE_CHECKING:
    import asyncpg

LOAD = """
    select u.*, o.id as order_id, o.status, o.total, o.placed_at, o.closed_at,
           c.fingerprint, c.id as result_id, c.user_id as result_user_id, c.version as result_version,
           r.secret as result_secret
    from (select $1::uuid as user_id, $2::uuid as order_id, $3::bytea as key) as wanted
    left join orders o on o.id = wanted.order_id
    left join users u on u.id = coalesce(wanted.user_id, o.user_id)
    left join commands c on c.key = wanted.key
    left join users r on r.id = c.user_id
"""

_USER_FIELDS = [field for field in User.__struct_fields__ if field != "orders"]
_ORDER_FIELDS = [field for field in Order.__struct_fields__ if field != "id"]


def new_user(user_id: UserId) -> User:
    """Returns a user that is not created yet."""
    return User(id=user_id, secret=uuid4())


def user_from_row(row: asyncpg.Record, user_id: UserId) -> User:
    """Returns the user and the order of a row of LOAD; a new user if the row has no user."""
    if row["id"] is None:
        return new_user(user_id)
    orders = {}
    if (order_id := row["order_id"]) is not None:
        orders[order_id] = Order(id=order_id, **{field: row[field] for field in _ORDER_FIELDS})
    return User(**{field: row[field] for field in _USER_FIELDS}, orders=orders)


def stored_result(row: asyncpg.Record, command: Command) -> CommandResult | Refusal | None:
    """Returns the result stored for the command's idempotency key; a refusal if the request was another."""
    stored_digest = row["fingerprint"]
    if stored_digest is None:
        return None
    digest = command.request_digest(row["result_secret"])
    # One is shorter if the user is erased, or if it was stored before digests were keyed.
    if stored_digest[: len(digest)] != digest[: len(stored_digest)]:
        return IdempotencyKeyReused()
    return CommandResult(
        id=row["result_id"], user_id=row["result_user_id"], version=row["result_version"]
    )


def key_digest(key: str | None) -> bytes | None:
    """Returns the digest under which an idempotency key is stored: a key may contain personal data."""
    return None if key is None else hashlib.sha256(key.encode()).digest()
