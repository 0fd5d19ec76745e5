"""The events of a product."""

from __future__ import annotations

from typing import NewType
from uuid import UUID

from domain.event import DomainEvent, NonPersonal

ProductId = NewType("ProductId", UUID)


class ProductCreated(DomainEvent, frozen=True, kw_only=True):
    sku: NonPersonal[str]
    """The stock keeping unit; no two products have the same."""
    name: NonPersonal[str]
    price: int
    """Minor units (cents)."""


class PriceChanged(DomainEvent, frozen=True, kw_only=True):
    price: int
    """Minor units (cents)."""


class ProductDiscontinued(DomainEvent, frozen=True, kw_only=True):
    pass


ProductEvent = ProductCreated | PriceChanged | ProductDiscontinued
