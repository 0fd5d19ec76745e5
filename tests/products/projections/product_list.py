"""All products, newest first."""

from __future__ import annotations

from typing import assert_never

from readside.projection import Command, ProjectedEvent
from readside.queries.id_lists import IdList
from readside.redis_functions.keys import Keys
from tests.products.domain import events

_LIST = IdList("products")
page, count = _LIST.page, _LIST.count


def project(keys: Keys, event: ProjectedEvent[events.ProductEvent]) -> list[Command]:
    match event.data:
        case events.ProductCreated():
            return [("ZADD", keys.index("products"), "0", event.aggregate_id)]
        case events.PriceChanged() | events.ProductDiscontinued():
            return []
        case _:
            assert_never(event.data)
