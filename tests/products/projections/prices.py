"""The sum of the prices of all products, by whether they are sold: a grouped sum."""

from __future__ import annotations

from typing import assert_never

from readside.grouped_sum import GroupedSum
from readside.projection import Command, ProjectedEvent
from readside.queries.grouped_sums import read_sums
from readside.queries.reader import ReadModel
from readside.redis_functions.keys import Keys
from tests.products.domain import events

_PRICES = GroupedSum("prices")


def project(keys: Keys, event: ProjectedEvent[events.ProductEvent]) -> list[Command]:
    match event.data:
        case events.ProductCreated(price=price) | events.PriceChanged(price=price):
            return [_PRICES.contribute(keys, event, "sold", price)]
        case events.ProductDiscontinued():
            return [_PRICES.withdraw(keys, event)]
        case _:
            assert_never(event.data)


async def total(read_model: ReadModel) -> int:
    """Returns the sum of the prices of the products that are sold. Raises ReadModelError."""
    return (await read_sums(read_model, _PRICES)).get("sold", 0)
