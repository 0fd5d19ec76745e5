"""Everything there is once a run has come to rest: the tables of PostgreSQL and the keys of Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec
from redis.asyncio import Redis

from domain.cursor import Cursor
from readside.keys import POINTER, Keys, Partition
from readside.models import FINGERPRINT

if TYPE_CHECKING:
    from redis.asyncio.client import Pipeline

CHUNK = 2_000
"""Keys of one pipeline."""

_EVENTS = (
    "select user_id::text, version, type, data, occurred_at from events order by user_id, version"
)
_NOT_CARRIED = """
    select count(*) from events
    where partition = $1 and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
"""


class Logged(msgspec.Struct, frozen=True):
    """A row of `events`."""

    user: str
    version: int
    type: str
    data: dict[str, Any]
    at: Any


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    events: list[Logged]
    """By user and version."""
    users: dict[str, dict[str, Any]]
    orders: dict[str, dict[str, Any]]
    commands: dict[str, dict[str, Any]]
    """Rows by id, or by key."""
    partitions: int
    keys: dict[str, Any]
    """Every key of Tandem in Redis, with its value."""
    groups: dict[int, list[dict[str, Any]]]
    """The consumer groups of each partition's stream."""

    def serving(self, partition: int) -> Keys | None:
        """The generation that answers for a partition."""
        names = self.keys.get(Partition(partition).generations, {})
        name = names.get(f"{POINTER}{fingerprint(self.partitions)}")
        return None if name is None else Keys(Partition(partition), name)


def fingerprint(partitions: int) -> str:
    """Of this code's read models, as the composition root has it."""
    return f"{FINGERPRINT}-{partitions}"


async def gather(database_url: str, redis_url: str, partitions: int) -> Evidence:
    """Reads all of it. Nobody should be writing meanwhile."""
    connection = await asyncpg.connect(database_url)
    try:
        events = [
            Logged(row[0], row[1], row[2], msgspec.json.decode(row[3]), row[4])
            for row in await connection.fetch(_EVENTS)
        ]
        users = await _rows(connection, "users", "id")
        orders = await _rows(connection, "orders", "id")
        commands = await _rows(connection, "commands", "key")
    finally:
        await connection.close()
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        keys = {key: value async for key, value in _values(redis)}
        groups = {partition: await _groups(redis, partition) for partition in range(partitions)}
    return Evidence(
        events=events,
        users=users,
        orders=orders,
        commands=commands,
        partitions=partitions,
        keys=keys,
        groups=groups,
    )


async def _rows(connection: asyncpg.Connection, table: str, key: str) -> dict[str, dict[str, Any]]:
    return {str(row[key]): dict(row) for row in await connection.fetch(f"select * from {table}")}


async def _values(redis: Redis) -> AsyncIterator[tuple[str, Any]]:
    names = sorted([key async for key in redis.scan_iter(match="tandem:*", count=CHUNK)])
    for start in range(0, len(names), CHUNK):
        chunk = names[start : start + CHUNK]
        types = redis.pipeline(transaction=False)
        for name in chunk:
            types.type(name)
        values = redis.pipeline(transaction=False)
        for name, kind in zip(chunk, await types.execute(), strict=True):
            _ask(values, name, kind)
        for name, value in zip(chunk, await values.execute(), strict=True):
            yield name, dict(value) if isinstance(value, list) else value


def _ask(pipeline: Pipeline, name: str, kind: str) -> None:
    match kind:
        case "hash":
            pipeline.hgetall(name)
        case "zset":
            pipeline.zrange(name, 0, -1, withscores=True)
        case "set":
            pipeline.smembers(name)
        case "stream":
            pipeline.xlen(name)
        case _:
            pipeline.get(name)


async def _groups(redis: Redis, partition: int) -> list[dict[str, Any]]:
    stream = Partition(partition).stream
    if not await redis.exists(stream):
        return []
    groups: list[dict[str, Any]] = await redis.xinfo_groups(stream)
    last = (await redis.xinfo_stream(stream))["last-generated-id"]
    return [{**group, "unread": group["last-delivered-id"] != last} for group in groups]


async def behind(database_url: str, redis_url: str, partitions: int) -> str | None:
    """What is still under way between the log and the read model, in one phrase; None if nothing is.

    Cheap enough to be asked again and again. It looks at cursors and groups only: the checker judges.
    """
    connection = await asyncpg.connect(database_url)
    try:
        async with Redis.from_url(redis_url, decode_responses=True) as redis:
            for partition in range(partitions):
                if phrase := await _behind(connection, redis, partition, partitions):
                    return f"partition {partition}: {phrase}"
    finally:
        await connection.close()
    return None


async def _behind(
    connection: asyncpg.Connection, redis: Redis, partition: int, partitions: int
) -> str | None:
    keys = Partition(partition)
    serving: Any = await redis.hget(keys.generations, f"{POINTER}{fingerprint(partitions)}")
    if serving is None:
        return "nothing serves"
    raw: Any = await redis.get(keys.cursor)
    if raw is None:
        return "there is no cursor"
    cursor = Cursor.decode(raw.encode())
    if cursor.page is not None:
        return "the relay is within a window"
    left = await connection.fetchval(_NOT_CARRIED, partition, str(cursor.snapshot))
    if left:
        return f"{left} events are not in the stream"
    groups = {group["name"]: group for group in await _groups(redis, partition)}
    if serving not in groups:
        return "the serving generation has no group"
    if groups[serving]["unread"] or groups[serving]["pending"]:
        return "entries of the stream are not applied"
    return None
