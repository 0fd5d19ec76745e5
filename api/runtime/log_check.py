"""Refuses to work on streams in Redis that were filled from another event log than that of DATABASE_URL."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import asyncpg
from redis.asyncio import Redis

from api.roles import namespace
from api.runtime import drivers
from api.runtime.background import TRANSIENT_ERRORS, LoopFailed
from api.settings import Settings
from domain.log.cursor import decode_cursor
from domain.log.log_identity import ForeignLog, refuse_foreign
from readside.redis_functions.stream import RedisStream

CHECK_INTERVAL_SECONDS: Final = 5.0
"""Interval of the check in a running process."""


async def refuse_foreign_log(pool: asyncpg.Pool, redis: Redis, settings: Settings) -> None:
    """Raises ForeignLog, and what the drivers raise when a store is unavailable."""
    stream = RedisStream(redis, namespace(settings))
    cursors = await stream.cursors(range(settings.partitions))
    known = [raw for raw in cursors if not isinstance(raw, Exception)]
    log_ids = {cursor.log for raw in known if (cursor := decode_cursor(raw)) is not None}
    await refuse_foreign(pool, log_ids)


async def refuse_foreign_log_at_start(settings: Settings) -> None:
    """Raises ForeignLog; an unavailable store does not prevent a start."""
    with suppress(*TRANSIENT_ERRORS):
        async with (
            drivers.database(settings) as pool,
            drivers.redis_for_monitoring(settings) as redis,
        ):
            async with asyncio.timeout(settings.read_timeout):
                await refuse_foreign_log(pool, redis, settings)


async def watch_log(pool: asyncpg.Pool, redis: Redis, settings: Settings) -> None:
    """Repeats the check indefinitely. Raises LoopFailed."""
    while True:
        with suppress(*TRANSIENT_ERRORS):
            try:
                await refuse_foreign_log(pool, redis, settings)
            except ForeignLog as error:
                raise LoopFailed(str(error)) from error
        await asyncio.sleep(CHECK_INTERVAL_SECONDS)
