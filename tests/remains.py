"""What the stores hold, all of it as text, to search for what should be gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
from redis.asyncio import Redis

if TYPE_CHECKING:
    from collections.abc import Iterable

TABLES = """
    select format('%I.%I', schemaname, tablename) as name from pg_tables
    where schemaname not in ('pg_catalog', 'information_schema')
"""

READ: dict[str, Any] = {
    "hash": lambda redis, key: redis.hgetall(key),
    "zset": lambda redis, key: redis.zrange(key, 0, -1, withscores=True),
    "set": lambda redis, key: redis.smembers(key),
    "list": lambda redis, key: redis.lrange(key, 0, -1),
    "stream": lambda redis, key: redis.xrange(key),
    "string": lambda redis, key: redis.get(key),
}


async def of(words: Iterable[str], database_url: str, redis_url: str) -> dict[str, list[str]]:
    """Returns the rows and keys that hold a word, by word, for each that is found.

    In any case, also as the hexadecimal digits of its bytes.
    """
    texts = [*await rows(database_url), *await keys(redis_url)]
    lowered = [(text, text.lower()) for text in texts]
    found = {}
    for word in words:
        forms = {word.lower(), word.encode().hex(), word.lower().encode().hex()}
        if holding := [text for text, low in lowered if any(form in low for form in forms)]:
            found[word] = holding
    return found


async def rows(database_url: str) -> list[str]:
    """Every row of every table; what is binary is hexadecimal in there."""
    connection = await asyncpg.connect(database_url)
    try:
        tables = [row["name"] for row in await connection.fetch(TABLES)]
        return [
            f"{table}: {row['text']}"
            for table in tables
            for row in await connection.fetch(f"select t::text as text from {table} t")
        ]
    finally:
        await connection.close()


async def keys(redis_url: str) -> list[str]:
    """Every key with its value, whatever made it."""
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        return [await _key(redis, key) async for key in redis.scan_iter(count=1000)]


async def _key(redis: Redis, key: str) -> str:
    kind: Any = await redis.type(key)
    return f"{key}: {await READ[kind](redis, key)}" if kind in READ else key
