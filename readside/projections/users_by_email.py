"""The user by e-mail address: in each partition a sorted set of "address key, space, user id"."""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from domain.users import events
from readside.errors import ReadModelRebuilding
from readside.projection import Command, ProjectedEvent
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import pack
from readside.redis_connection.protocol import Replies
from readside.redis_functions.keys import Keys


def project(keys: Keys, event: ProjectedEvent[events.UserEvent]) -> list[Command]:
    index, reverse = keys.shared_key("emails"), keys.shared_key("email-of")
    match event.data:
        case events.UserCreated(email=email) | events.UserEmailUpdated(email=email):
            return [("REINDEX", index, reverse, event.aggregate_id, events.email_key(email))]
        case events.UserErased():
            return [("REINDEX", index, reverse, event.aggregate_id, "")]
        case (
            events.UserRenamed()
            | events.OrderPlaced()
            | events.OrderCompleted()
            | events.OrderCancelled()
        ):
            return []
        case _:
            assert_never(event.data)


async def find(read_model: ReadModel, key: str) -> list[UUID]:
    """Returns the ids of the users with this address key, the youngest first. Raises ReadModelError.

    Several users have it for a moment while an address passes from one to another, and permanently if their
    addresses differed under older rules.
    """
    replies = await read_model.read_all(lambda keys: [pack(_read_entries(keys, key))])
    return _user_ids(key, replies) or await _find_missing(read_model, key)


async def _find_missing(read_model: ReadModel, key: str) -> list[UUID]:
    """Reads an address without users again; raises ReadModelRebuilding if the index is incomplete."""
    replies = await read_model.read_all(
        lambda keys: [
            pack(_read_entries(keys, key)),
            pack(("EXISTS", keys.needs_resync)),
            pack(("ZCARD", keys.shared_key("emails"))),
            pack(("HGET", keys.counters, keys.size_field("emails"))),
        ]
    )
    user_ids = _user_ids(key, replies)
    if not user_ids and any(
        needs_resync or size != int(recorded_size or 0)
        for _, needs_resync, size, recorded_size in replies
    ):
        raise ReadModelRebuilding
    return user_ids


def _read_entries(keys: Keys, key: str) -> Command:
    # In ASCII the exclamation mark follows the space.
    return ("ZRANGE", keys.shared_key("emails"), f"[{key} ", f"({key}!", "BYLEX")


def _user_ids(key: str, replies: list[Replies]) -> list[UUID]:
    entries = (entry.rpartition(" ") for entries, *_ in replies for entry in entries)
    return sorted((UUID(user) for entry_key, _, user in entries if entry_key == key), reverse=True)
