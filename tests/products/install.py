"""Adds the aggregate Product to this process, as the lines in the registries of a service would."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domain.aggregates import AGGREGATES
from readside.read_models import READ_MODELS
from tests.products.domain.aggregate import PRODUCT
from tests.products.projections import created_per_month, prices, product_list, products

if TYPE_CHECKING:
    import asyncpg

SQL = (Path(__file__).parent / "products.sql").read_text("utf-8")
"""The migration that creates its tables."""


def install() -> None:
    """Adds it to the registries, before others read them: `readside.projection_set`, for instance."""
    AGGREGATES[PRODUCT.name] = PRODUCT
    READ_MODELS[PRODUCT.name] = (products, product_list, prices, created_per_month)
    READ_MODELS["user"] = (*READ_MODELS["user"], created_per_month)
    from api.schema.aggregates import (
        PACKAGES,  # here: it imports the scopes, which are those of AGGREGATES
    )
    from tests.products import schema

    PACKAGES.append(schema)


async def create_tables(connection: asyncpg.Connection) -> None:
    """Applies the migration to a database that has all migrations of the service."""
    await connection.execute(SQL)
