"""How rows become values, and values become rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

import msgspec

from domain.command import Command, CommandResult
from domain.envelope import encode, partition_of
from domain.refusal import IdempotencyKeyReused, Refusal
from domain.users.events import Event, UserId, email_key
from domain.users.state import Order, User
from domain.write.sql import OF_A_NEW_USER, USER, write

if TYPE_CHECKING:
    import asyncpg

_NO_ANSWER: Final = (None, None, None)


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


def earlier_in(row: asyncpg.Record, command: Command) -> CommandResult | Refusal | None:
    """The answer that the command's idempotency key had before, if it had one."""
    kept = row["fingerprint"]
    if kept is None:
        return None
    asked = command.request_digest(row["answer_secret"])
    # One is shorter once the user is erased, or if it is from before they were keyed.
    if kept[: len(asked)] != asked[: len(kept)]:
        return IdempotencyKeyReused()
    return CommandResult(
        id=row["answer_id"], user_id=row["answer_user_id"], version=row["answer_version"]
    )


class Write(NamedTuple):
    """The rows that a command writes: the user's as they shall be, and the events that made them so."""

    before: int
    """The version of the user that was decided on; 0 if the user is created."""
    user: Sequence[object]
    orders: Sequence[Sequence[object]]
    answer: Sequence[object]
    """Empty without an idempotency key."""
    events: Sequence[Sequence[object]]
    erases: bool

    @property
    def user_id(self) -> object:
        return self.user[0]

    @property
    def statement(self) -> str:
        return write(
            not self.before, len(self.orders), bool(self.answer), self.erases, len(self.events)
        )

    @property
    def arguments(self) -> Iterator[object]:
        guard = [self.before] if self.before else []
        return chain(self.user, guard, *self.orders, self.answer, *self.events)


def to_write(
    command: Command,
    before: User,
    after: User,
    events: Sequence[Event],
    *,
    metadata: Mapping[str, str],
    partitions: int,
    now: datetime,
) -> Write:
    """What to write when these events have made of the user before the one after."""
    erases = after.erased_at is not None
    key = key_digest(command.idempotency_key)
    partition = partition_of(after.id, partitions)
    circumstances = msgspec.json.encode(metadata).decode()
    return Write(
        before=before.version,
        user=(
            after.id,
            after.version,
            after.name,
            after.email,
            None if erases else email_key(after.email),
            after.created_at,
            now,
            after.erased_at,
            after.secret,
        ),
        orders=[
            (order.id, order.status, order.total, order.placed_at, order.closed_at)
            for order in after.orders.values()
            if before.orders.get(order.id) != order
        ],
        answer=()
        if key is None
        else (key, command.request_digest(before.secret), command.target_id),
        events=[
            (partition, version, *encode(event), circumstances)
            for version, event in enumerate(events, before.version + 1)
        ],
        erases=erases,
    )


def to_create_many(writes: Sequence[Write]) -> list[object]:
    """The arguments of a CREATE_MANY. Each of these creates a user, with one event of the same type."""
    columns = zip(*map(_created, writes), strict=True)
    [(_, _, tag, schema, _, _)] = writes[0].events
    return [*map(list, columns), tag, schema]


_new = itemgetter(*[list(USER).index(column) for column in OF_A_NEW_USER])


def _created(write: Write) -> tuple[object, ...]:
    [(partition, _, _, _, data, metadata)] = write.events
    key, fingerprint, _ = write.answer or _NO_ANSWER
    return *_new(write.user), key, fingerprint, partition, data, metadata


def to_remember(
    command: Command, user: User, answer: CommandResult, now: datetime
) -> tuple[object, ...]:
    """The arguments of a REMEMBER."""
    key, fingerprint = key_digest(command.idempotency_key), command.request_digest(user.secret)
    return key, fingerprint, answer.id, answer.user_id, answer.version, now


def key_digest(key: str | None) -> bytes | None:
    """What is kept of an idempotency key: clients make them up of anything, addresses too."""
    return None if key is None else hashlib.sha256(key.encode()).digest()
