"""The user by id: one hash per user."""

from __future__ import annotations

from asyncio import Future, gather, get_running_loop
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec

from domain.events import (
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserRenamed,
)
from readside.errors import ReadModelBehind, ReadModelRebuilding
from readside.keys import Keys
from readside.projection import Command, Happened
from readside.reader import Reads, Replies

FIELDS = (
    "version",
    "name",
    "email",
    "createdAt",
    "updatedAt",
    "orderCount",
    "lifetimeValue",
    "until",  # the gate's: this user is being made anew, and not there yet
)

_LOST = -1
"""The version of a user of whom something is missing: older than any that is asked for."""

_LOOK_AGAIN = 5.0
"""Seconds after which a watched user is read though nothing was published: a rebuild publishes nothing."""


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    version: int
    name: str
    email: str
    created_at: datetime
    updated_at: datetime
    order_count: int
    lifetime_value: int
    """Minor units."""


def project(keys: Keys, happened: Happened) -> list[Command]:
    key, at = keys.user(happened.user), happened.at
    match happened.event:
        case UserCreated(name=name, email=email):
            facts = ("name", name, "email", email, "createdAt", at, "updatedAt", at)
            return [("DEL", key), ("HSET", key, *facts)]
        case UserEmailUpdated(email=email):
            return [("HSET", key, "email", email, "updatedAt", at)]
        case UserRenamed(name=name):
            return [("HSET", key, "name", name, "updatedAt", at)]
        case OrderPlaced():
            return [("HSET", key, "updatedAt", at), ("HINCRBY", key, "orderCount", "1")]
        case OrderCompleted(total=total):
            return [
                ("HSET", key, "updatedAt", at),
                ("HINCRBY", key, "lifetimeValue", str(total)),
            ]
        case OrderCancelled():
            return [("HSET", key, "updatedAt", at)]
        case UserErased():
            # The gate writes the version anew: a tombstone that says nothing else.
            return [("DEL", key)]
        case _:
            assert_never(happened.event)


async def fetch(reads: Reads, user_id: UUID, *, min_version: int = 0) -> UserRow | None:
    """The user, or None if there is none (any more), in `min_version` or newer.

    Waits for that version up to the reader's patience, then raises ReadModelBehind. Raises ReadModelError.
    """
    version, row = await _read(reads, user_id)
    if version >= min_version:
        return row
    now = get_running_loop().time
    deadline = now() + reads.patience
    async with reads.changes(user_id) as changes:
        version, row = await _read(reads, user_id)
        while version < min_version:
            await changes.wait(deadline - now())
            overdue = now() >= deadline
            version, row = await _read(reads, user_id)
            if version < min_version and overdue:
                raise (
                    ReadModelRebuilding
                    if version == _LOST
                    else ReadModelBehind(min_version, version)
                )
    return row


async def fetch_many(reads: Reads, ids: Sequence[UUID]) -> list[UserRow]:
    """The users with these ids in their order; those who do not exist are left out. Raises ReadModelError."""
    found = await gather(*[_read(reads, user_id) for user_id in ids])
    if any(version == _LOST for version, _ in found):
        raise ReadModelRebuilding  # rather than a list in which somebody is missing
    return [row for _, row in found if row is not None]


async def changes(reads: Reads, user_id: UUID) -> AsyncGenerator[UserRow | None, None]:
    """The user's present state, then each newer one; None, at last, once the user is erased."""
    async with reads.changes(user_id) as changed:
        version, row = await _read(reads, user_id)
        yield row
        while row is not None or version <= 0:
            await changed.wait(_LOOK_AGAIN)
            newer, present = await _read(reads, user_id)
            if newer > version:
                version, row = newer, present
                yield row


async def _read(reads: Reads, user_id: UUID) -> tuple[int, UserRow | None]:
    """The user's version and the user; 0 and None if there never was one, _LOST and None if it was lost."""
    version, row = _row(user_id, await _ask(reads, user_id))
    return (version, row) if version > 0 else await _look_closer(reads, user_id)


async def _look_closer(reads: Reads, user_id: UUID) -> tuple[int, UserRow | None]:
    """Whoever is listed has a hash. If Redis has lost it, the projector is asked to make it anew."""
    user, partition = str(user_id), reads.partition_of(user_id)
    listed, *replies = await reads.ask(
        partition,  # listed first: what is listed and then not there was not just being created
        lambda keys: [("ZSCORE", keys.everyone, user), ("HMGET", keys.user(user), *FIELDS)],
    )
    version, row = _row(user_id, replies)
    if version > 0 or (listed is None and version == 0):
        return version, row
    await reads.report_lost(user_id)
    return _LOST, None


def _ask(reads: Reads, user_id: UUID) -> Future[Replies]:
    partition = reads.partition_of(user_id)
    return reads.ask(partition, lambda keys: [("HMGET", keys.user(user_id), *FIELDS)])


def _row(user_id: UUID, replies: Replies) -> tuple[int, UserRow | None]:
    """The version of the user, 0 if there never was one, and the user unless there is none to be shown."""
    version, name, email, created_at, updated_at, order_count, lifetime_value, until = replies[0]
    if until is not None:
        return _LOST, None
    if name is None:
        return int(version or 0), None
    return int(version), UserRow(
        id=user_id,
        version=int(version),
        name=name,
        email=email,
        created_at=datetime.fromisoformat(created_at),
        updated_at=datetime.fromisoformat(updated_at),
        order_count=int(order_count or 0),
        lifetime_value=int(lifetime_value or 0),
    )
