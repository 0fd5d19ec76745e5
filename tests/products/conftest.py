"""A write model with users and products, on a real PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.runtime import drivers
from api.settings import Settings
from domain.aggregates import AGGREGATES
from tests.chaos.proxy import Proxy, proxy
from tests.domain.write_model import WriteModel
from tests.products.domain.aggregate import PRODUCT
from tests.products.install import create_tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Proxy]:
    """The connection to the database, on which statements are counted."""
    async with proxy(database_url) as wire:
        yield wire


@pytest.fixture
async def model(wire: Proxy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WriteModel]:
    monkeypatch.setitem(AGGREGATES, PRODUCT.name, PRODUCT)
    async with drivers.database(Settings(database_url=wire.url, database_connections=4)) as pool:
        async with pool.acquire() as connection:
            await create_tables(connection)  # type: ignore[arg-type]
        yield WriteModel(pool)
