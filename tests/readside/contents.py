"""The contents of a generation as plain values, to compare two generations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tests.limited import limited

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from readside.redis_functions.keys import Keys


async def contents(redis: Redis, keys: Keys) -> dict[str, Any]:
    """Every key of a generation, without the generation's name, with its value."""
    prefix = keys.shared_key("")
    found: dict[str, Any] = {}
    async for key in redis.scan_iter(match=f"{prefix}*", count=1000):
        found[key.removeprefix(prefix)] = await _value(redis, key)
    if counters := found.get("counters"):
        found["counters"] = {"applied": counters["applied"]}  # the rest depends on how it was built
    return found


async def _value(redis: Redis, key: str) -> Any:
    kind: Any = await redis.type(key)
    match kind:
        case "hash":
            return await redis.hgetall(key)
        case "zset":
            return await redis.zrange(key, 0, -1, withscores=True)
        case "list":
            return await redis.lrange(key, 0, -1)
        case "set":
            return await redis.smembers(key)
        case "string":
            return await redis.get(key)
        case _:
            raise AssertionError(f"contents() cannot read a {kind} such as {key}; teach it here")


async def eventually(what: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """Returns as soon as it holds; raises TimeoutError if it does not come to hold in time."""
    async with limited(seconds):
        while not await what():
            await asyncio.sleep(0.005)
