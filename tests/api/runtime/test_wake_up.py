"""Commands wake the relays of other processes with at most one message in flight."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis

from api.runtime import drivers
from api.runtime.wake_up import RedisWakeUp
from api.settings import Settings
from readside.redis_functions.keys import Namespace
from tests.processes import HOST, free_port


async def received(calls: Any) -> int:
    """Returns the number of messages that have arrived, once no more arrive."""
    number = 0
    while await calls.get_message(ignore_subscribe_messages=True, timeout=0.2):
        number += 1
    return number


async def test_many_commands_in_one_round_trip_wake_a_relay_twice_at_most(redis_url: str) -> None:
    async with (
        drivers.connection_for_reads(Settings(redis_url=redis_url)) as link,
        Redis.from_url(redis_url) as redis,
        redis.pubsub() as calls,
    ):
        await calls.subscribe(Namespace().wake_channel)
        await calls.get_message(timeout=5)
        wake_up = RedisWakeUp(link)
        for partition in range(50):
            wake_up.notify(partition)
        assert await received(calls) == 2  # the second is for commands after the first was sent
        wake_up.notify(0)
        assert await received(calls) == 1


async def test_an_unavailable_redis_delays_no_command() -> None:
    url = f"redis://{HOST}:{free_port()}/0"
    async with drivers.connection_for_reads(Settings(redis_url=url)) as link:
        wake_up = RedisWakeUp(link)
        for _ in range(3):
            wake_up.notify(0)
            await asyncio.sleep(0.01)
        assert link.failed_count > 0
