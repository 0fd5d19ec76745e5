"""All users, newest first."""

from __future__ import annotations

from typing import assert_never

from domain.users import events
from readside.projection import Command, ProjectedEvent
from readside.queries.id_lists import IdList
from readside.redis_functions.keys import Keys

LIST = IdList("users")
page, count = LIST.page, LIST.count


def project(keys: Keys, event: ProjectedEvent[events.UserEvent]) -> list[Command]:
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
