"""The user by e-mail address: in each partition a sorted set of "address key, space, user id"."""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from domain.events import (
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserRenamed,
    email_key,
)
from readside.keys import Keys
from readside.projection import Command, Happened
from readside.reader import Reads


def project(keys: Keys, happened: Happened) -> list[Command]:
    index, reverse, user = keys.of("emails"), keys.of("email-of"), happened.user
    match happened.event:
        case UserCreated(email=email) | UserEmailUpdated(email=email):
            return [("REINDEX", index, reverse, user, email_key(email))]
        case UserErased():
            return [("REINDEX", index, reverse, user, "")]
        case UserRenamed() | OrderPlaced() | OrderCompleted() | OrderCancelled():
            return []
        case _:
            assert_never(happened.event)


async def find(reads: Reads, key: str) -> UUID | None:
    """The id of the user with this address key. Raises ReadModelError.

    While an address is passing from one user to another two may hold it for a moment: the younger wins.
    """
    found = await reads.ask_all(
        # In ASCII the exclamation mark follows the space.
        lambda keys: [("ZRANGE", keys.of("emails"), f"[{key} ", f"({key}!", "BYLEX")]
    )
    holders = (entry.rpartition(" ") for [entries] in found for entry in entries)
    return max((UUID(user) for holding, _, user in holders if holding == key), default=None)
