"""All users, newest first: in each partition a sorted set of ids, which sort by the time they were made."""

from __future__ import annotations

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
from readside.keys import Keys
from readside.projection import Command, Happened
from readside.reader import Reads


class Page(msgspec.Struct, frozen=True, kw_only=True):
    ids: list[UUID]
    has_next: bool


def project(keys: Keys, happened: Happened) -> list[Command]:
    match happened.event:
        case UserCreated():
            return [("ZADD", keys.everyone, "0", happened.user)]
        case UserErased():
            return [("ZREM", keys.everyone, happened.user)]
        case (
            UserEmailUpdated() | UserRenamed() | OrderPlaced() | OrderCompleted() | OrderCancelled()
        ):
            return []
        case _:
            assert_never(happened.event)


async def page(reads: Reads, first: int, after: UUID | None) -> Page:
    """The `first` newest users, or those that come behind the user `after`. Raises ReadModelError."""
    newest = "+" if after is None else f"({after}"
    limit = ("LIMIT", "0", str(first + 1))
    found = await reads.ask_all(
        lambda keys: [("ZRANGE", keys.everyone, newest, "-", "BYLEX", "REV", *limit)]
    )
    ids = sorted((user for [users] in found for user in users), reverse=True)
    return Page(ids=[UUID(user) for user in ids[:first]], has_next=len(ids) > first)


async def count(reads: Reads) -> int:
    """How many users there are. Raises ReadModelError."""
    return sum(number for [number] in await reads.ask_all(lambda keys: [("ZCARD", keys.everyone)]))
