"""The user by e-mail address: in each partition a sorted set of "address key, space, user id"."""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserRenamed,
    email_key,
)
from readside.errors import ReadModelRebuilding
from readside.projection import Command, ProjectedEvent
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import pack
from readside.redis_connection.request_queue import Replies
from readside.redis_functions.keys import Keys


def project(keys: Keys, happened: ProjectedEvent) -> list[Command]:
    index, reverse, user = keys.shared_key("emails"), keys.shared_key("email-of"), happened.user_id
    match happened.data:
        case UserCreated(email=email) | UserEmailUpdated(email=email):
            return [("REINDEX", index, reverse, user, email_key(email))]
        case UserErased():
            return [("REINDEX", index, reverse, user, "")]
        case UserRenamed() | OrderPlaced() | OrderCompleted() | OrderCancelled():
            return []
        case _:
            assert_never(happened.data)


async def find(reads: ReadModel, key: str) -> list[UUID]:
    """Returns the ids of the users with this address key, the youngest first. Raises ReadModelError.

    Several have it for a moment while an address passes from one user to another, and for as long as users
    share it whose addresses were different under older rules.
    """
    found = await reads.ask_all(lambda keys: [pack(_entries(keys, key))])
    return _holders(key, found) or await _look_closer(reads, key)


async def _look_closer(reads: ReadModel, key: str) -> list[UUID]:
    """Nobody has it: if the index has lost nothing, and nobody is just being made anew."""
    found = await reads.ask_all(
        lambda keys: [
            pack(_entries(keys, key)),
            pack(("EXISTS", keys.needs_resync)),
            pack(("ZCARD", keys.shared_key("emails"))),
            pack(("HGET", keys.counters, keys.size_field("emails"))),
        ]
    )
    holders = _holders(key, found)
    if not holders and any(lost or size != int(kept or 0) for _, lost, size, kept in found):
        raise ReadModelRebuilding
    return holders


def _entries(keys: Keys, key: str) -> Command:
    # In ASCII the exclamation mark follows the space.
    return ("ZRANGE", keys.shared_key("emails"), f"[{key} ", f"({key}!", "BYLEX")


def _holders(key: str, found: list[Replies]) -> list[UUID]:
    holders = (entry.rpartition(" ") for entries, *_ in found for entry in entries)
    return sorted((UUID(user) for holding, _, user in holders if holding == key), reverse=True)
