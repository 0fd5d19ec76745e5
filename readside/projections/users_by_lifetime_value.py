"""The users by lifetime value: the total of their completed orders, highest first."""

from __future__ import annotations

from typing import assert_never

from domain.users import events
from readside.projection import Command, ProjectedEvent
from readside.queries.id_lists import IdList
from readside.queries.page_request import PageRequest
from readside.queries.reader import ReadModel
from readside.redis_functions.keys import Keys
from readside.sorted_index import NumberIndex, number_key

_INDEX = NumberIndex("lifetime-values")
LIST = IdList("lifetime-values")


def project(keys: Keys, event: ProjectedEvent[events.UserEvent]) -> list[Command]:
    match event.data:
        case events.UserCreated():
            return [_INDEX.put(keys, event, 0)]
        case events.OrderCompleted(total=total):
            return [_INDEX.add(keys, event, total)]
        case events.UserErased():
            return [_INDEX.remove(keys, event)]
        case (
            events.UserEmailUpdated()
            | events.UserRenamed()
            | events.OrderPlaced()
            | events.OrderCancelled()
        ):
            return []
        case _:
            assert_never(event.data)


async def top(read_model: ReadModel, first: int) -> dict[str, int]:
    """Returns the ids of the `first` customers with the highest lifetime value, each with its partition.

    Users without completed orders are not included; of two with the same value the younger comes first.
    Raises ReadModelError.
    """
    return (await LIST.page(read_model, PageRequest(first, before=number_key(1)))).ids
