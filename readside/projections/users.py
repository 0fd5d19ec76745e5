"""The user by id: one hash per user, and a list of what it was after each of its last versions."""

from __future__ import annotations

from asyncio import gather, get_running_loop
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
from readside.errors import ChangesForgotten, ReadModelBehind, ReadModelRebuilding
from readside.keys import Keys
from readside.line import Replies
from readside.projection import Command, Happened
from readside.reader import Reads

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

_CHANGING = ("name", "email", "updatedAt", "orderCount", "lifetimeValue")
"""What is remembered of each version, behind its number."""

KEPT = 100
"""Versions of a user that are remembered for whoever watches it."""

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
    key, recent = keys.user(happened.user), keys.of_user("recent", happened.user)
    at = happened.at
    commands: list[Command] = [("HSET", key, "updatedAt", at)]
    match happened.event:
        case UserCreated(name=name, email=email):
            # Whoever is made anew begins from nothing.
            facts = ("name", name, "email", email, "createdAt", at, "updatedAt", at)
            commands = [("DEL", key, recent), ("HSET", key, *facts)]
        case UserEmailUpdated(email=email):
            commands = [("HSET", key, "email", email, "updatedAt", at)]
        case UserRenamed(name=name):
            commands = [("HSET", key, "name", name, "updatedAt", at)]
        case OrderPlaced():
            commands += [("HINCRBY", key, "orderCount", "1")]
        case OrderCompleted(total=total):
            commands += [("HINCRBY", key, "lifetimeValue", str(total))]
        case OrderCancelled():
            pass
        case UserErased():
            # The gate writes the version anew: a tombstone that says nothing else.
            return [("DEL", key, recent)]
        case _:
            assert_never(happened.event)
    remember = ("REMEMBER", recent, key, str(KEPT), str(happened.version), *_CHANGING)
    return [*commands, remember]


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


async def changes(
    reads: Reads, user_id: UUID, after: int | None = None
) -> AsyncGenerator[UserRow | None, None]:
    """The user's present state, and each later version in order; with `after`, each one behind that version.

    None stands for a user who is not there yet, and, as the end, for one who was erased. Raises
    ChangesForgotten if the next one in order is no longer kept, and ReadModelError.
    """
    async with reads.changes(user_id) as changed:
        while True:
            version, row = await _read(reads, user_id)
            if row is None and version > 0:
                yield None
                return
            if after is None and version != _LOST:
                yield row
                after = version
            elif after is not None and version > after:
                for row in await _since(reads, user_id, after):
                    yield row
                    after = row.version
            await changed.wait(_LOOK_AGAIN)


async def _since(reads: Reads, user_id: UUID, after: int) -> list[UserRow]:
    """The versions behind `after`, of which there are some; none if the user was erased meanwhile."""
    recent, *replies = await reads.ask(
        reads.partition_of(user_id),
        lambda keys: [
            ("LRANGE", keys.of_user("recent", user_id), "0", "-1"),
            ("HMGET", keys.user(user_id), *FIELDS),
        ],
    )
    version, present = _row(user_id, replies)
    if present is None:
        return []
    rows = [_remembered(present, entry) for entry in recent]
    missed = [row for row in rows if row.version > after]
    if not missed or missed[0].version != after + 1:
        if len(rows) >= min(KEPT, version):
            raise ChangesForgotten(after)
        await reads.report_lost(user_id)
        raise ReadModelRebuilding
    return missed


def _remembered(present: UserRow, entry: str) -> UserRow:
    version, name, email, updated_at, order_count, lifetime_value = msgspec.json.decode(entry)
    return msgspec.structs.replace(
        present,
        version=int(version),
        name=name,
        email=email,
        updated_at=datetime.fromisoformat(updated_at),
        order_count=int(order_count or 0),
        lifetime_value=int(lifetime_value or 0),
    )


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


async def _ask(reads: Reads, user_id: UUID) -> Replies:
    partition = reads.partition_of(user_id)
    return await reads.ask(partition, lambda keys: [("HMGET", keys.user(user_id), *FIELDS)])


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
