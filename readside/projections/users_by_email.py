"""The user by e-mail address: those whose address has a key."""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from domain.users import events
from readside.projection import Command, ProjectedEvent
from readside.queries.id_lists import IdList, members_of
from readside.queries.page_request import PageRequest
from readside.queries.reader import ReadModel
from readside.redis_functions.keys import Keys
from readside.sorted_index import TextIndex

_INDEX = TextIndex("emails")
LIST = IdList("emails")

_ALL: PageRequest[str] = PageRequest(100)
"""More users than have the same key."""


def project(keys: Keys, event: ProjectedEvent[events.UserEvent]) -> list[Command]:
    match event.data:
        case events.UserCreated(email=email) | events.UserEmailUpdated(email=email):
            return [_INDEX.put(keys, event, events.email_key(email))]
        case events.UserErased():
            return [_INDEX.remove(keys, event)]
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
    page = await LIST.page(read_model, _ALL, members_of(key))
    return [UUID(user_id) for user_id in page.ids]
