"""The state of a product: what its events add up to."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

import msgspec

from domain.aggregate_contract import AggregateState
from domain.event import NonPersonal
from tests.products.domain.events import (
    PriceChanged,
    ProductCreated,
    ProductDiscontinued,
    ProductEvent,
)


class Product(AggregateState, frozen=True, kw_only=True):
    """A product as commands see it."""

    sku: NonPersonal[str] = ""
    name: NonPersonal[str] = ""
    price: int = 0
    """Minor units."""
    discontinued_at: datetime | None = None


def evolve(product: Product, event: ProductEvent, at: datetime) -> Product:
    """Returns the product after one more event, which happened at `at`."""
    match event:
        case ProductCreated(sku=sku, name=name, price=price):
            return msgspec.structs.replace(product, sku=sku, name=name, price=price)
        case PriceChanged(price=price):
            return msgspec.structs.replace(product, price=price)
        case ProductDiscontinued():
            return msgspec.structs.replace(product, discontinued_at=at)
        case _:
            assert_never(event)
