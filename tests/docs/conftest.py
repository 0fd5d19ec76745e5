"""Fixtures: the stores of a service."""

from __future__ import annotations

import pytest

from api.settings import Settings
from tests.stores import PARTITIONS


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=database_url, redis_url=redis_url, partitions=PARTITIONS, read_timeout=5.0
    )
