"""The users by name, in any letter case: in the order of the code points of the folded names."""

from __future__ import annotations

from typing import assert_never

from domain.users import events
from readside.projection import Command, ProjectedEvent
from readside.queries.id_lists import IdList
from readside.redis_functions.keys import Keys
from readside.sorted_index import TextIndex

_INDEX = TextIndex("names")
LIST = IdList("names", ascending=True)


def project(keys: Keys, event: ProjectedEvent[events.UserEvent]) -> list[Command]:
    match event.data:
        case events.UserCreated(name=name) | events.UserRenamed(name=name):
            return [_INDEX.put(keys, event, events.name_key(name))]
        case events.UserErased():
            return [_INDEX.remove(keys, event)]
        case (
            events.UserEmailUpdated()
            | events.OrderPlaced()
            | events.OrderCompleted()
            | events.OrderCancelled()
        ):
            return []
        case _:
            assert_never(event.data)
