"""The refusals of commands on products."""

from __future__ import annotations

from domain.refusal import Refusal


class SkuTaken(Refusal, frozen=True, kw_only=True):
    """Another product has the stock keeping unit."""

    message: str = "This SKU belongs to another product; use another one."
    path: tuple[str, ...] | None = ("sku",)


class ProductNotFound(Refusal, frozen=True, kw_only=True):
    """The product does not exist."""

    message: str = "There is no product with this id."
    path: tuple[str, ...] | None = ("productId",)


class ProductIsDiscontinued(Refusal, frozen=True, kw_only=True):
    """The product is discontinued, and its price is final."""

    message: str = "The price of a discontinued product cannot be changed."
    path: tuple[str, ...] | None = ("productId",)
