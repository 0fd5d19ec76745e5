"""The product by id."""

from __future__ import annotations

from typing import assert_never

from readside.projection import Command, ProjectedEvent
from readside.queries.documents import Documents
from readside.redis_functions.keys import Keys
from readside.stored_document import Document, StoredDocument
from tests.products.domain import events


class ProductRow(Document, frozen=True, rename="camel"):
    sku: str
    name: str
    price: int
    """Minor units."""
    discontinued_at: str | None


_STORED = StoredDocument("product", ProductRow, history="recent-prices")
_DOCUMENTS = Documents(_STORED, index="products")
fetch, fetch_many, changes = _DOCUMENTS.fetch, _DOCUMENTS.fetch_many, _DOCUMENTS.changes
find = _DOCUMENTS.find


def project(keys: Keys, event: ProjectedEvent[events.ProductEvent]) -> list[Command]:
    match event.data:
        case events.ProductCreated(sku=sku, name=name, price=price):
            return _STORED.created(keys, event, sku=sku, name=name, price=price)
        case events.PriceChanged(price=price):
            return _STORED.changed(keys, event, price=price)
        case events.ProductDiscontinued():
            return _STORED.changed(keys, event, discontinued_at=event.occurred_at)
        case _:
            assert_never(event.data)
