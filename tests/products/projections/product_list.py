"""All products, newest first, and those that are sold, cheapest first."""

from __future__ import annotations

from typing import assert_never

from readside.projection import Command, ProjectedEvent
from readside.queries.id_lists import IdList
from readside.redis_functions.keys import Keys
from readside.sorted_index import NumberIndex
from tests.products.domain import events

_LIST = IdList("products")
page, count = _LIST.page, _LIST.count

_BY_PRICE = NumberIndex("products-by-price")
cheapest = IdList("products-by-price", ascending=True).page


def project(keys: Keys, event: ProjectedEvent[events.ProductEvent]) -> list[Command]:
    match event.data:
        case events.ProductCreated(price=price):
            listed = ("ZADD", keys.index("products"), "0", event.aggregate_id)
            return [listed, _BY_PRICE.put(keys, event, price)]
        case events.PriceChanged(price=price):
            return [_BY_PRICE.put(keys, event, price)]
        case events.ProductDiscontinued():
            return [_BY_PRICE.remove(keys, event)]
        case _:
            assert_never(event.data)
