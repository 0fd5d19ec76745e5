"""A write model of the test's own, on a real PostgreSQL, through the driver that the service uses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from api.runtime import drivers
from api.settings import Settings
from tests.chaos.proxy import Proxy, proxy
from tests.domain.log.relay_harness import RelayHarness
from tests.domain.write_model import WriteModel


@pytest.fixture
async def model(database_url: str) -> AsyncIterator[WriteModel]:
    settings = Settings(database_url=database_url, database_connections=40)
    async with drivers.database(settings) as pool:
        yield WriteModel(pool)


@pytest.fixture
def harness(model: WriteModel) -> RelayHarness:
    return RelayHarness(model)


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Proxy]:
    """The way to the database, on which faults can be made."""
    async with proxy(database_url) as wire:
        yield wire
