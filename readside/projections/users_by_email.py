"""The user by e-mail address: in each partition a sorted set of "address key, space, user id"."""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from domain.users import events
from readside.projection import Command, ProjectedEvent
from readside.queries.entry_index import EntryIndex
from readside.queries.reader import ReadModel
from readside.redis_functions.keys import Keys

_INDEX = EntryIndex("emails")


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
    found = await _INDEX.find(read_model, [key])
    return sorted((UUID(user) for [user] in found[key]), reverse=True)
