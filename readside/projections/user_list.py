"""All users, newest first: in each partition a sorted set of ids, which sort by the time they were made."""

from __future__ import annotations

from collections.abc import Iterable
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
from readside.projection import Command, ProjectedEvent
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import CommandTemplate
from readside.redis_functions.keys import Keys

_COUNT = CommandTemplate("ZCARD")


class UserListPage(msgspec.Struct, frozen=True, kw_only=True):
    ids: dict[str, int]
    """Newest first, each with its partition."""
    has_next: bool


def project(keys: Keys, happened: ProjectedEvent) -> list[Command]:
    match happened.data:
        case UserCreated():
            return [("ZADD", keys.user_index, "0", happened.user_id)]
        case UserErased():
            return [("ZREM", keys.user_index, happened.user_id)]
        case (
            UserEmailUpdated() | UserRenamed() | OrderPlaced() | OrderCompleted() | OrderCancelled()
        ):
            return []
        case _:
            assert_never(happened.data)


async def page(reads: ReadModel, first: int, after: UUID | None) -> UserListPage:
    """The `first` newest users, or those that come behind the user `after`. Raises ReadModelError.

    Each partition is asked for twice its share. One of which the page takes all that it told may have more.
    """
    newest, enough = "+" if after is None else f"({after}", first + 1
    some = min(enough, 2 * first // len(reads.partitions) + 4)
    lists = await _newest(reads, reads.partitions, newest, some)
    cut = {number for number, ids in lists.items() if len(ids) == some < enough}
    while True:
        where = {user: number for number, ids in lists.items() for user in ids}
        ids = sorted(where, reverse=True)[:enough]
        used_up = [number for number in cut if lists[number][-1] >= ids[-1]]
        if not used_up:
            break
        lists |= await _newest(reads, used_up, newest, enough)
        cut.difference_update(used_up)
    return UserListPage(ids={user: where[user] for user in ids[:first]}, has_next=len(ids) > first)


async def _newest(
    reads: ReadModel, partitions: Iterable[int], newest: str, most: int
) -> dict[int, list[str]]:
    """Ids, by partition."""
    listed = CommandTemplate("ZRANGE", newest, "-", "BYLEX", "REV", "LIMIT", "0", str(most))
    answers = await reads.ask_each(
        dict.fromkeys(partitions, lambda keys: [listed.of(keys.user_index)])
    )
    return {number: ids for number, [ids] in answers.items()}


async def count(reads: ReadModel) -> int:
    """How many users there are. Raises ReadModelError."""
    return sum(
        number for [number] in await reads.ask_all(lambda keys: [_COUNT.of(keys.user_index)])
    )
