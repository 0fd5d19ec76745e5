"""The user by id: one hash per user, and a list of what each of its last versions changed."""

from __future__ import annotations

from typing import assert_never

from domain.users import events
from readside.projection import Command, ProjectedEvent
from readside.queries.documents import Documents
from readside.redis_functions.keys import Keys
from readside.stored_document import Document, StoredDocument


class UserRow(Document, frozen=True, rename="camel"):
    name: str
    email: str
    order_count: int
    lifetime_value: int
    """Minor units."""


_STORED = StoredDocument("user", UserRow, history="recent")
_DOCUMENTS = Documents(_STORED, index="users")
fetch, fetch_many, changes = _DOCUMENTS.fetch, _DOCUMENTS.fetch_many, _DOCUMENTS.changes
find = _DOCUMENTS.find


def project(keys: Keys, event: ProjectedEvent[events.UserEvent]) -> list[Command]:
    match event.data:
        case events.UserCreated(name=name, email=email):
            return _STORED.created(keys, event, name=name, email=email)
        case events.UserEmailUpdated(email=email):
            return _STORED.changed(keys, event, email=email)
        case events.UserRenamed(name=name):
            return _STORED.changed(keys, event, name=name)
        case events.OrderPlaced():
            return _STORED.increased(keys, event, order_count=1)
        case events.OrderCompleted(total=total):
            return [*_STORED.increased(keys, event, lifetime_value=total), _closed(keys, event)]
        case events.OrderCancelled():
            return [*_STORED.changed(keys, event), _closed(keys, event)]
        case events.UserErased():
            return _STORED.erased(keys, event)
        case _:
            assert_never(event.data)


def _closed(keys: Keys, event: ProjectedEvent[events.UserEvent]) -> Command:
    """Returns the command that counts a closed order, which is not in the row: orders.py reads it."""
    return ("HINCRBY", keys.document("user", event.aggregate_id), "closedCount", "1")
