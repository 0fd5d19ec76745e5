"""Adds the aggregate Product to this process, as the lines in the registries of a service would."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from domain.aggregates import AGGREGATES
from readside.fingerprint.fingerprint import fingerprint as fingerprint_of
from readside.read_models import READ_MODELS
from tests.products.domain.aggregate import PRODUCT
from tests.products.projections import created_per_month, prices, product_list, products

if TYPE_CHECKING:
    import asyncpg

_MODELS = (products, product_list, prices, created_per_month)

SQL = (Path(__file__).parent / "products.sql").read_text("utf-8")
"""The migration that creates its tables."""


def install() -> None:
    """Adds it to the registries, before others read them: `readside.projection_set`, for instance."""
    AGGREGATES[PRODUCT.name] = PRODUCT
    READ_MODELS[PRODUCT.name] = _MODELS
    READ_MODELS["user"] = (*READ_MODELS["user"], created_per_month)
    from api.schema.packages import (
        PACKAGES,  # here: it imports the scopes, which are those of AGGREGATES
    )
    from tests.products import schema

    PACKAGES.append(schema)


@cache
def fingerprint() -> str:
    """Returns the fingerprint of the read models of a process with it, also in one without."""
    models = dict.fromkeys(model.__name__ for model in (*READ_MODELS["user"], *_MODELS))
    return fingerprint_of(models)


async def create_tables(connection: asyncpg.Connection) -> None:
    """Applies the migration to a database that has all migrations of the service."""
    await connection.execute(SQL)
