"""A Redis that may evict keys is refused by every role, once it is reachable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from api.roles import Role
from api.runtime.background import LoopFailed
from api.runtime.process import run
from api.settings import Settings
from tests.chaos.proxy import Proxy, proxy
from tests.limited import limited


@pytest.fixture
async def evicting(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as redis:
        await redis.config_set("maxmemory-policy", "volatile-lru")
        try:
            yield redis
        finally:
            await redis.config_set("maxmemory-policy", "noeviction")


@pytest.fixture
async def wire(redis_url: str) -> AsyncIterator[Proxy]:
    async with proxy(redis_url) as wire:
        yield wire


@pytest.mark.usefixtures("evicting")
@pytest.mark.parametrize("role", [Role.RELAY, Role.PROJECTOR])
async def test_the_eviction_policy_is_checked_once_redis_is_available(
    database_url: str, wire: Proxy, role: Role
) -> None:
    wire.refuse()
    settings = Settings(database_url=database_url, redis_url=wire.url)
    started, stop = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(run(settings, frozenset({role}), stop, on_ready=started.set))
    async with limited(20):
        await started.wait()
        await asyncio.wait([running], timeout=0.2)
        assert not running.done(), "it is to start without Redis"
        wire.accept()
        with pytest.raises(LoopFailed, match="set maxmemory-policy to noeviction"):
            await running


async def test_a_redis_without_eviction_is_accepted(database_url: str, wire: Proxy) -> None:
    settings = Settings(database_url=database_url, redis_url=wire.url)
    stop = asyncio.Event()
    running = asyncio.create_task(run(settings, frozenset({Role.RELAY}), stop))
    async with limited(20):
        while not wire.asked["INFO server"]:
            await asyncio.sleep(0.005)
        await asyncio.wait([running], timeout=0.1)
        assert not running.done()
        stop.set()
        await running
