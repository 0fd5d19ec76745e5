"""Fixtures: the whole service in this process, with real stores and all roles, called without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.settings import Settings
from tests.acceptance.service import Client, running
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=database_url, redis_url=redis_url, partitions=PARTITIONS, read_timeout=5.0
    )


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    """A client of a service that answers."""
    async with running(settings) as client:
        yield client


@pytest.fixture
async def impatient(settings: Settings) -> AsyncIterator[Client]:
    """A client of a service whose reads do not wait long."""
    async with running(settings.model_copy(update={"read_timeout": 0.3})) as client:
        yield client
