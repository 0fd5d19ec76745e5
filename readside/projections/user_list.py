"""All users, newest first: in each partition a sorted set of ids, which sort by the time of creation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never
from uuid import UUID

import msgspec

from domain.users import events
from readside.projection import Command, ProjectedEvent
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import CommandTemplate
from readside.redis_functions.keys import Keys

_COUNT = CommandTemplate("ZCARD")


class UserListPage(msgspec.Struct, frozen=True, kw_only=True):
    ids: dict[str, int]
    """Newest first, each with its partition."""
    has_next: bool


def project(keys: Keys, event: ProjectedEvent) -> list[Command]:
    match event.data:
        case events.UserCreated():
            return [("ZADD", keys.index("users"), "0", event.aggregate_id)]
        case events.UserErased():
            return [("ZREM", keys.index("users"), event.aggregate_id)]
        case (
            events.UserEmailUpdated()
            | events.UserRenamed()
            | events.OrderPlaced()
            | events.OrderCompleted()
            | events.OrderCancelled()
        ):
            return []
        case _:
            assert_never(event.data)


async def page(read_model: ReadModel, first: int, after: UUID | None) -> UserListPage:
    """Returns the `first` newest users, or those after the user `after`. Raises ReadModelError.

    Reads twice the fair share of each partition. A partition whose ids are all used may have more, and is
    read again.
    """
    newest, page_size = "+" if after is None else f"({after}", first + 1
    limit = min(page_size, 2 * first // len(read_model.partitions) + 4)
    lists = await _newest(read_model, read_model.partitions, newest, limit)
    truncated = {number for number, ids in lists.items() if len(ids) == limit < page_size}
    while True:
        partitions = {user: number for number, ids in lists.items() for user in ids}
        ids = sorted(partitions, reverse=True)[:page_size]
        used_up = [number for number in truncated if lists[number][-1] >= ids[-1]]
        if not used_up:
            break
        lists |= await _newest(read_model, used_up, newest, page_size)
        truncated.difference_update(used_up)
    return UserListPage(
        ids={user: partitions[user] for user in ids[:first]}, has_next=len(ids) > first
    )


async def _newest(
    read_model: ReadModel, partitions: Iterable[int], newest: str, limit: int
) -> dict[int, list[str]]:
    """Returns ids by partition."""
    command = CommandTemplate("ZRANGE", newest, "-", "BYLEX", "REV", "LIMIT", "0", str(limit))
    replies = await read_model.read_partitions(
        dict.fromkeys(partitions, lambda keys: [command.pack(keys.index("users"))])
    )
    return {number: ids for number, [ids] in replies.items()}


async def count(read_model: ReadModel) -> int:
    """Returns the number of users. Raises ReadModelError."""
    replies = await read_model.read_all(lambda keys: [_COUNT.pack(keys.index("users"))])
    return sum(number for [number] in replies)
