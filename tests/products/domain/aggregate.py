"""The aggregate of a product, as the machinery sees it."""

from __future__ import annotations

from domain.aggregate_contract import Aggregate, UniqueKey
from tests.products.domain.events import ProductEvent
from tests.products.domain.refusals import SkuTaken
from tests.products.domain.state import Product, evolve

PRODUCT = Aggregate(
    name="product",
    plural="products",
    state=Product,
    events=ProductEvent,
    evolve=evolve,
    table="products",
    unique=(UniqueKey(constraint="products_sku_key", refusal=SkuTaken, column="sku"),),
)
