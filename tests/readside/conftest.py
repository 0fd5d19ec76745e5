"""A real Valkey seen through the service's own drivers, and a read model on it that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.runtime import drivers
from api.settings import Settings
from readside.projection_set import FINGERPRINT
from readside.queries.pubsub import PubSub
from readside.queries.reader import ReadModel
from tests.readside.envelopes import PARTITIONS
from tests.readside.harness import World
from tests.readside.projection_harness import ProjectionHarness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

BUSY_SECONDS = 20.0
"""Time limit of a connect and of a read; on a busy machine a process waits long for a processor."""


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(redis_url=redis_url, partitions=PARTITIONS, read_timeout=BUSY_SECONDS)


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    """For function calls and inspection."""
    async with drivers.redis_for_functions(settings) as redis:
        yield redis


@pytest.fixture
async def streams(settings: Settings) -> AsyncIterator[Redis]:
    async with drivers.redis_for_streams(settings) as redis:
        yield redis


@pytest.fixture
async def changes(settings: Settings) -> AsyncIterator[PubSub]:
    async with drivers.redis_for_pubsub(settings) as redis, PubSub(redis) as changes:
        yield changes


@pytest.fixture
async def reads(settings: Settings, changes: PubSub) -> AsyncIterator[ReadModel]:
    async with drivers.connection_for_reads(settings) as link:
        yield ReadModel(link, changes, partitions=PARTITIONS, fingerprint=FINGERPRINT)


@pytest.fixture
async def harness(redis: Redis, reads: ReadModel) -> ProjectionHarness:
    harness = ProjectionHarness(redis, reads)
    await harness.begin()
    return harness


@pytest.fixture
async def world(redis: Redis, streams: Redis) -> World:
    return World(redis, streams)
