"""A real Valkey seen through the service's own drivers, and a read model on it that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api import drivers
from api.settings import Settings
from readside.changes import Changes
from readside.models import FINGERPRINT
from readside.reader import Reads
from tests.readside.stories import PARTITIONS
from tests.readside.told import Told
from tests.readside.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(redis_url=redis_url, partitions=PARTITIONS)


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    """For functions, and to look into Valkey."""
    async with drivers.redis_for_functions(settings) as redis:
        yield redis


@pytest.fixture
async def streams(settings: Settings) -> AsyncIterator[Redis]:
    async with drivers.redis_for_streams(settings) as redis:
        yield redis


@pytest.fixture
async def changes(settings: Settings) -> AsyncIterator[Changes]:
    async with drivers.redis_for_changes(settings) as redis, Changes(redis) as changes:
        yield changes


@pytest.fixture
async def reads(settings: Settings, changes: Changes) -> AsyncIterator[Reads]:
    async with drivers.link_for_reads(settings) as link:
        yield Reads(link, changes, partitions=PARTITIONS, fingerprint=FINGERPRINT)


@pytest.fixture
async def told(redis: Redis, reads: Reads) -> Told:
    told = Told(redis, reads)
    await told.begin()
    return told


@pytest.fixture
async def world(redis: Redis, streams: Redis) -> World:
    return World(redis, streams)
