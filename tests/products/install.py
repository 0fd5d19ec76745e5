"""Adds the aggregate Product to this process, as the lines in the registries of a service would."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domain.aggregates import AGGREGATES
from tests.products.domain.aggregate import PRODUCT

if TYPE_CHECKING:
    import asyncpg

SQL = (Path(__file__).parent / "products.sql").read_text("utf-8")
"""The migration that creates its tables."""


def install() -> None:
    """Adds it to the registries. Call it before `domain.log`, `readside` and `api` are imported."""
    AGGREGATES[PRODUCT.name] = PRODUCT


async def create_tables(connection: asyncpg.Connection) -> None:
    """Applies the migration to a database that has all migrations of the service."""
    await connection.execute(SQL)
