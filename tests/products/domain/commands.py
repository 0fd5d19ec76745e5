"""The commands on products."""

from __future__ import annotations

from typing import ClassVar

from domain.aggregate_contract import Aggregate
from domain.command import ById, Command, Decision, New, Target, refuse_unless_current
from tests.products.domain.aggregate import PRODUCT
from tests.products.domain.events import (
    PriceChanged,
    ProductCreated,
    ProductDiscontinued,
    ProductId,
)
from tests.products.domain.refusals import ProductIsDiscontinued, ProductNotFound
from tests.products.domain.state import Product


class CreateProduct(Command, frozen=True, kw_only=True):
    """Creates a product. A unique index ensures that no other product has the stock keeping unit."""

    aggregate: ClassVar[Aggregate] = PRODUCT
    server_generated: ClassVar[tuple[str, ...]] = ("product_id",)

    product_id: ProductId
    sku: str
    name: str
    price: int
    """Minor units."""

    @property
    def target(self) -> Target:
        return New(self.product_id)

    def decide(self, product: Product) -> Decision:
        if product.version:
            return []  # the id is generated for each command, so this command is being retried
        return [ProductCreated(sku=self.sku, name=self.name, price=self.price)]


class ProductCommand(Command, frozen=True, kw_only=True):
    """A command on a product that must exist and, if the client sends it, have the expected version."""

    aggregate: ClassVar[Aggregate] = PRODUCT

    product_id: ProductId
    expected_version: int | None = None

    @property
    def target(self) -> Target:
        return ById(self.product_id)

    def decide(self, product: Product) -> Decision:
        refusal = refuse_unless_current(product, self.expected_version, ProductNotFound)
        return refusal or self.decide_existing(product)

    def decide_existing(self, product: Product) -> Decision:
        """Returns the decision about a product that exists in the expected version."""
        raise NotImplementedError


class ChangePrice(ProductCommand, frozen=True, kw_only=True):
    """Changes the price of a product; the present price changes nothing."""

    price: int
    """Minor units."""

    def decide_existing(self, product: Product) -> Decision:
        if self.price == product.price:
            return []
        if product.discontinued_at is not None:
            return ProductIsDiscontinued()
        return [PriceChanged(price=self.price)]


class DiscontinueProduct(ProductCommand, frozen=True, kw_only=True):
    """Discontinues a product; discontinuing it once more changes nothing."""

    def decide_existing(self, product: Product) -> Decision:
        return [] if product.discontinued_at is not None else [ProductDiscontinued()]
