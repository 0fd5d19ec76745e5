"""How many users and products were created in each month: one read model over events of two aggregates."""

from __future__ import annotations

from typing import assert_never

from domain.users import events as users
from readside.grouped_sum import GroupedSum
from readside.projection import Command, ProjectedEvent
from readside.queries.grouped_sums import read_sums
from readside.queries.reader import ReadModel
from readside.redis_functions.keys import Keys
from readside.timestamps import month_of
from tests.products.domain import events as products

_CREATED = GroupedSum("created")


def project(
    keys: Keys, event: ProjectedEvent[users.UserEvent | products.ProductEvent]
) -> list[Command]:
    match event.data:
        case users.UserCreated() | products.ProductCreated():
            month = month_of(event.occurred_at)
            return [_CREATED.contribute(keys, event, f"{month} {event.aggregate}", 1)]
        case users.UserErased():
            return [_CREATED.withdraw(keys, event)]
        case (
            users.UserEmailUpdated()
            | users.UserRenamed()
            | users.OrderPlaced()
            | users.OrderCompleted()
            | users.OrderCancelled()
            | products.PriceChanged()
            | products.ProductDiscontinued()
        ):
            return []
        case _:
            assert_never(event.data)


async def created_per_month(read_model: ReadModel) -> dict[str, int]:
    """Returns the numbers by month and aggregate, such as "2026-03 product". Raises ReadModelError."""
    return await read_sums(read_model, _CREATED)
