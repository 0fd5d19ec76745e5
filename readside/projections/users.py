"""The user by id: one hash per user, and a list of what each of its last versions changed."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Mapping
from typing import assert_never
from uuid import UUID

import msgspec

from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserRenamed,
)
from readside.errors import ChangesNoLongerKept, ReadModelBehind, ReadModelRebuilding
from readside.projection import Command, ProjectedEvent
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import CommandTemplate, pack
from readside.redis_connection.request_queue import Replies
from readside.redis_functions.keys import Keys

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

_ROW = CommandTemplate("HMGET", *FIELDS)

_NUMBERS = {"orderCount": "order_count", "lifetimeValue": "lifetime_value"}
"""Fields that hold a number, and what they are in a row."""

HISTORY_LENGTH = 100
"""Versions of a user, the present one among them, that subscriptions can go back to."""

_NEEDS_RESYNC = -1
"""The version of a user of whom something is missing: older than any that is asked for."""

_REPOLL_SECONDS = 5.0
"""Seconds after which a watched user is read though nothing was published: a rebuild publishes nothing."""


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    version: int
    name: str
    email: str
    created_at: str
    updated_at: str
    order_count: int
    lifetime_value: int
    """Minor units."""


def project(keys: Keys, happened: ProjectedEvent) -> list[Command]:
    key, recent = keys.user_hash(happened.user_id), keys.user_key("recent", happened.user_id)
    at = happened.occurred_at
    updated: Command = ("HSET", key, "updatedAt", at)
    closed: Command = ("HINCRBY", key, "closedCount", "1")

    def remember(*fields: str) -> Command:
        version = str(happened.version)
        return ("HISTORY_PUSH", recent, key, str(HISTORY_LENGTH - 1), version, "updatedAt", *fields)

    match happened.data:
        case UserCreated(name=name, email=email):
            # Whoever is made anew begins from nothing.
            facts = ("name", name, "email", email, "createdAt", at, "updatedAt", at)
            return [("DEL", key, recent), ("HSET", key, *facts)]
        case UserEmailUpdated(email=email):
            return [remember("email"), (*updated, "email", email)]
        case UserRenamed(name=name):
            return [remember("name"), (*updated, "name", name)]
        case OrderPlaced():
            return [remember("orderCount"), updated, ("HINCRBY", key, "orderCount", "1")]
        case OrderCompleted(total=total):
            valued = ("HINCRBY", key, "lifetimeValue", str(total))
            return [remember("lifetimeValue"), updated, closed, valued]
        case OrderCancelled():
            return [remember(), updated, closed]
        case UserErased():
            # The gate writes the version anew: a tombstone that says nothing else.
            return [("DEL", key, recent)]
        case _:
            assert_never(happened.data)


async def fetch(reads: ReadModel, user_id: UUID, *, min_version: int = 0) -> UserRow | None:
    """The user, or None if there is none (any more), in `min_version` or newer.

    Waits for that version up to the reader's patience, then raises ReadModelBehind. Raises ReadModelError.
    """
    partition, user = reads.partition_of(user_id), str(user_id)
    version, row = await _read(reads, partition, user)
    if version >= min_version:
        return row
    now = get_running_loop().time
    deadline = now() + reads.patience
    async with reads.changes(user_id) as changes:
        version, row = await _read(reads, partition, user)
        while version < min_version:
            await changes.wait(deadline - now())
            overdue = now() >= deadline
            version, row = await _read(reads, partition, user)
            if version < min_version and overdue:
                raise (
                    ReadModelRebuilding
                    if version == _NEEDS_RESYNC
                    else ReadModelBehind(min_version, version)
                )
    return row


async def fetch_many(reads: ReadModel, found: Mapping[str, int]) -> list[UserRow]:
    """The users with these ids, each with its partition, in this order; those who do not exist are left out.

    To be called right behind the questions that found them. Raises ReadModelError.
    """
    if not found:
        return []
    keys = await reads.served(set(found.values()))
    rows = [_ROW.of(keys[partition].user_hash(user)) for user, partition in found.items()]
    seen = map(_row, found, await reads.ask_at_once(rows))
    known = [
        one if one[0] > 0 else await _look_closer(reads, found[user], user)
        for user, one in zip(found, seen, strict=True)
    ]
    if any(version == _NEEDS_RESYNC for version, _ in known):
        raise ReadModelRebuilding  # rather than a list in which somebody is missing
    return [row for _, row in known if row is not None]


async def changes(
    reads: ReadModel, user_id: UUID, after: int | None = None
) -> AsyncGenerator[UserRow | None, None]:
    """The user's present state, and each later version in order; with `after`, each one behind that version.

    None stands for a user who is not there yet, and, as the end, for one who was erased. Raises
    ChangesForgotten if the next one in order is no longer kept, and ReadModelError.
    """
    partition, user = reads.partition_of(user_id), str(user_id)
    async with reads.changes(user_id) as changed:
        while True:
            version, row = await _read(reads, partition, user)
            if row is None and version > 0:
                yield None
                return
            if after is None and version != _NEEDS_RESYNC:
                yield row
                after = version
            elif after is not None and version > after:
                for row in await _since(reads, partition, user, after):
                    yield row
                    after = row.version
            await changed.wait(_REPOLL_SECONDS)


async def _since(reads: ReadModel, partition: int, user: str, after: int) -> list[UserRow]:
    """The versions behind `after`, of which there are some; none if the user was erased meanwhile."""
    fields, recent = await reads.ask(
        partition,  # the user first: what is remembered since then is left out
        lambda keys: [
            _ROW.of(keys.user_hash(user)),
            pack(("LRANGE", keys.user_key("recent", user), "0", "-1")),
        ],
    )
    version, present = _row(user, fields)
    if present is None:
        return []
    missed = [row for row in _versions(present, recent) if row.version > after]
    if not missed or missed[0].version != after + 1:
        if len(recent) >= min(HISTORY_LENGTH, version) - 1:
            raise ChangesNoLongerKept(after)
        await reads.report_lost(partition, user)
        raise ReadModelRebuilding
    return missed


def _versions(present: UserRow, recent: Replies) -> list[UserRow]:
    """The user in each version that is remembered, oldest first; worked out from the present one back."""
    rows = [present]
    for entry in reversed(recent):
        version, updated_at, *changed = msgspec.json.decode(entry)
        if int(version) > present.version:
            continue
        while rows[-1].version > int(
            version
        ):  # a version that changed nothing: its event was given up
            rows.append(msgspec.structs.replace(rows[-1], version=rows[-1].version - 1))
        before = {
            _NUMBERS.get(name, name): int(said or 0) if name in _NUMBERS else said
            for name, said in zip(changed[::2], changed[1::2], strict=True)
        }
        rows.append(
            msgspec.structs.replace(
                rows[-1], version=int(version) - 1, updated_at=updated_at, **before
            )
        )
    return rows[::-1]


VersionedUser = tuple[int, UserRow | None]
"""A user's version and the user; 0 and None if there never was one, _LOST and None if it was lost."""


async def _read(reads: ReadModel, partition: int, user: str) -> VersionedUser:
    [fields] = await reads.ask(partition, lambda keys: [_ROW.of(keys.user_hash(user))])
    seen = _row(user, fields)
    return seen if seen[0] > 0 else await _look_closer(reads, partition, user)


async def _look_closer(reads: ReadModel, partition: int, user: str) -> VersionedUser:
    """Whoever is listed has a hash. If Redis has lost it, the projector is asked to make it anew."""
    listed, fields = await reads.ask(
        partition,  # listed first: what is listed and then not there was not just being created
        lambda keys: [pack(("ZSCORE", keys.user_index, user)), _ROW.of(keys.user_hash(user))],
    )
    version, row = _row(user, fields)
    if version > 0 or (listed is None and version == 0):
        return version, row
    await reads.report_lost(partition, user)
    return _NEEDS_RESYNC, None


def _row(user: str, fields: Replies) -> VersionedUser:
    """The version of the user, 0 if there never was one, and the user unless there is none to be shown."""
    version, name, email, created_at, updated_at, order_count, lifetime_value, until = fields
    if until is not None:
        return _NEEDS_RESYNC, None
    if name is None:
        return int(version or 0), None
    return int(version), UserRow(
        id=user,
        version=int(version),
        name=name,
        email=email,
        created_at=created_at,
        updated_at=updated_at,
        order_count=int(order_count or 0),
        lifetime_value=int(lifetime_value or 0),
    )
