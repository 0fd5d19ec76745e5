"""A write model of the test's own, on a real PostgreSQL, through the driver that the service uses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from api import drivers
from api.settings import Settings
from tests.domain.carrying import Carrying
from tests.domain.write_model import WriteModel
from tests.faults.proxy import Proxy, proxy


@pytest.fixture
async def model(database_url: str) -> AsyncIterator[WriteModel]:
    settings = Settings(database_url=database_url, database_connections=40)
    async with drivers.database(settings) as pool:
        yield WriteModel(pool)


@pytest.fixture
def carrying(model: WriteModel) -> Carrying:
    return Carrying(model)


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Proxy]:
    """The way to the database, on which faults can be made."""
    async with proxy(database_url) as wire:
        yield wire
