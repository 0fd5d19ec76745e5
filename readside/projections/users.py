"""The user by id: one hash per user, and a list of what each of its last versions changed."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Mapping
from typing import assert_never
from uuid import UUID

import msgspec

from domain.users import events
from readside.errors import ChangesNoLongerKept, ReadModelBehind, ReadModelRebuilding
from readside.projection import Command, ProjectedEvent
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import CommandTemplate, pack
from readside.redis_connection.protocol import Replies
from readside.redis_functions.keys import Keys

HISTORY_LENGTH = 100
"""Versions of a user, with the present one, that a subscription can start from."""

_NEEDS_RESYNC = -1
"""Stands for the version of a user whose keys are incomplete: lower than any required version."""

_REPOLL_SECONDS = 5.0
"""How often a subscription reads the user without a notification: a rebuild publishes none."""


class UserRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A user as stored: the fields of the hash have the names in camel case."""

    id: str
    version: int
    name: str
    email: str
    created_at: str
    updated_at: str
    order_count: int
    lifetime_value: int
    """Minor units."""


VersionedUser = tuple[int, UserRow | None]
"""A user's version and row: 0 and None if it never existed, the version and None if it was erased, and
_NEEDS_RESYNC and None if its keys are incomplete."""

_STORED = {field.encode_name: field for field in msgspec.structs.fields(UserRow)}
_READ_USER = CommandTemplate("HMGET", *(name for name in _STORED if name != "id"), "until")


def project(keys: Keys, event: ProjectedEvent) -> list[Command]:
    user, history = (
        keys.document("user", event.aggregate_id),
        keys.owned_key("recent", event.aggregate_id),
    )
    at = event.occurred_at
    updated: Command = ("HSET", user, "updatedAt", at)
    closed: Command = ("HINCRBY", user, "closedCount", "1")

    def push_history(*changed: str) -> Command:
        length, version = str(HISTORY_LENGTH - 1), str(event.version)
        return ("HISTORY_PUSH", history, user, length, version, "updatedAt", *changed)

    match event.data:
        case events.UserCreated(name=name, email=email):
            fields = ("name", name, "email", email, "createdAt", at, "updatedAt", at)
            return [("DEL", user, history), ("HSET", user, *fields)]
        case events.UserEmailUpdated(email=email):
            return [push_history("email"), (*updated, "email", email)]
        case events.UserRenamed(name=name):
            return [push_history("name"), (*updated, "name", name)]
        case events.OrderPlaced():
            return [push_history("orderCount"), updated, ("HINCRBY", user, "orderCount", "1")]
        case events.OrderCompleted(total=total):
            valued = ("HINCRBY", user, "lifetimeValue", str(total))
            return [push_history("lifetimeValue"), updated, closed, valued]
        case events.OrderCancelled():
            return [push_history(), updated, closed]
        case events.UserErased():
            # The version gate then writes the version: a tombstone with nothing else.
            return [("DEL", user, history)]
        case _:
            assert_never(event.data)


async def fetch(read_model: ReadModel, user_id: UUID, *, min_version: int = 0) -> UserRow | None:
    """Returns the user in `min_version` or newer; None if it does not exist or was erased.

    Waits for that version up to `version_timeout_seconds`, then raises ReadModelBehind. Raises
    ReadModelError.
    """
    partition, user = read_model.partition_of(user_id), str(user_id)
    version, row = await _read(read_model, partition, user)
    if version >= min_version:
        return row
    now = get_running_loop().time
    deadline = now() + read_model.version_timeout_seconds
    async with read_model.subscribe(user_id) as subscription:
        version, row = await _read(read_model, partition, user)
        while version < min_version:
            await subscription.wait(deadline - now())
            overdue = now() >= deadline
            version, row = await _read(read_model, partition, user)
            if version < min_version and overdue:
                raise (
                    ReadModelRebuilding
                    if version == _NEEDS_RESYNC
                    else ReadModelBehind(min_version, version)
                )
    return row


async def fetch_many(read_model: ReadModel, partitions: Mapping[str, int]) -> list[UserRow]:
    """Returns the users with these ids, each with its partition, in this order; skips those who do not exist.

    Must be called right after the read that returned the ids. Raises ReadModelError.
    """
    if not partitions:
        return []
    keys = await read_model.active_keys(set(partitions.values()))
    commands = [
        _READ_USER.pack(keys[partition].document("user", user))
        for user, partition in partitions.items()
    ]
    rows = map(_row, partitions, await read_model.read_unchecked(commands))
    users = [
        found if found[0] > 0 else await _read_missing(read_model, partitions[user], user)
        for user, found in zip(partitions, rows, strict=True)
    ]
    if any(version == _NEEDS_RESYNC for version, _ in users):
        raise ReadModelRebuilding  # rather than return an incomplete list
    return [row for _, row in users if row is not None]


async def changes(
    read_model: ReadModel, user_id: UUID, after: int | None = None
) -> AsyncGenerator[UserRow | None, None]:
    """Yields the user's present state, then each later version in order; with `after`, each version above it.

    Yields None for a user that does not exist yet, and as the last item for one that was erased. Raises
    ChangesNoLongerKept if the next version is no longer in the history, and ReadModelError.
    """
    partition, user = read_model.partition_of(user_id), str(user_id)
    async with read_model.subscribe(user_id) as subscription:
        while True:
            version, row = await _read(read_model, partition, user)
            if row is None and version > 0:
                yield None
                return
            if after is None and version != _NEEDS_RESYNC:
                yield row
                after = version
            elif after is not None and version > after:
                for row in await _versions_after(read_model, partition, user, after):
                    yield row
                    after = row.version
            await subscription.wait(_REPOLL_SECONDS)


async def _versions_after(
    read_model: ReadModel, partition: int, user: str, after: int
) -> list[UserRow]:
    """Returns the versions above `after`, of which there are some; none if the user was erased meanwhile."""
    fields, history = await read_model.read(
        partition,  # the user first: what the history gained since then is ignored
        lambda keys: [
            _READ_USER.pack(keys.document("user", user)),
            pack(("LRANGE", keys.owned_key("recent", user), "0", "-1")),
        ],
    )
    version, present = _row(user, fields)
    if present is None:
        return []
    missed = [row for row in _versions(present, history) if row.version > after]
    if not missed or missed[0].version != after + 1:
        if len(history) >= min(HISTORY_LENGTH, version) - 1:
            raise ChangesNoLongerKept(after)
        await read_model.request_resync(partition, user)
        raise ReadModelRebuilding
    return missed


def _versions(present: UserRow, history: Replies) -> list[UserRow]:
    """Returns the user in each version of the history, oldest first, derived from the present one."""
    rows = [present]
    for entry in reversed(history):
        pushed, updated_at, *changed = msgspec.json.decode(entry)
        version = int(pushed)
        if version > present.version:
            continue
        while rows[-1].version > version:  # a version without changes: its event was skipped
            rows.append(msgspec.structs.replace(rows[-1], version=rows[-1].version - 1))
        before = {"version": version - 1, "updated_at": updated_at}
        for name, value in zip(changed[::2], changed[1::2], strict=True):
            field = _STORED[name]
            before[field.name] = int(value or 0) if field.type is int else value
        rows.append(msgspec.structs.replace(rows[-1], **before))
    return rows[::-1]


async def _read(read_model: ReadModel, partition: int, user: str) -> VersionedUser:
    [fields] = await read_model.read(
        partition, lambda keys: [_READ_USER.pack(keys.document("user", user))]
    )
    found = _row(user, fields)
    return found if found[0] > 0 else await _read_missing(read_model, partition, user)


async def _read_missing(read_model: ReadModel, partition: int, user: str) -> VersionedUser:
    """Reads a user without a hash again; if it is in the index the hash was lost: requests a resync."""
    indexed, fields = await read_model.read(
        partition,  # the index first: a user that is in it and then has no hash was not just being created
        lambda keys: [
            pack(("ZSCORE", keys.index("users"), user)),
            _READ_USER.pack(keys.document("user", user)),
        ],
    )
    version, row = _row(user, fields)
    if version > 0 or (indexed is None and version == 0):
        return version, row
    await read_model.request_resync(partition, user)
    return _NEEDS_RESYNC, None


def _row(user: str, fields: Replies) -> VersionedUser:
    version, name, email, created_at, updated_at, order_count, lifetime_value, visible_from = fields
    if visible_from is not None:
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
