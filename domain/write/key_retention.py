"""Deletes idempotency keys after their retention; a command that repeats one is then carried out again.

Short statements delete the oldest results first and skip rows that another process has locked. So any number
of processes may run it, and a command waits for one statement at most.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Final

import asyncpg

BATCH_SIZE: Final = 500
"""Keys per statement, which takes some 5 ms."""

_PAUSE_SECONDS: Final = 0.05
"""Seconds between two batches: at most 10,000 keys a second, far more than are written."""

_IDLE_INTERVAL_SECONDS: Final = 10.0
"""Seconds between two statements when no key was due."""

# now() is stable, so it bounds the index scan; with clock_timestamp() the statement would read all of it.
_DELETE = """
    with due as (
        select key from commands where answered_at < now() - $1::interval
        order by answered_at limit $2 for update skip locked
    )
    delete from commands where key = any(array(select key from due))
"""

_OLDEST_KEY_AGE = """
    select greatest(0, extract(epoch from clock_timestamp() - min(answered_at)))::float8 from commands
"""


class KeyRetention:
    """The loop that deletes keys. Raises what asyncpg raises."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        days: float,
        *,
        batch_size: int = BATCH_SIZE,
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        """`days`: the retention, 0 for no limit; `pause_seconds`: the pause after each batch."""
        self._pool = pool
        self._retention = timedelta(days=days)
        self._batch_size = batch_size
        self._pause_seconds = pause_seconds
        self._due_at = time.monotonic()
        self.deleted = 0
        """The number of keys deleted since the start."""

    async def run_once(self) -> bool:
        """Deletes one batch; returns whether there may be another."""
        if not self._retention or time.monotonic() < self._due_at:
            return False
        status = await self._pool.execute(_DELETE, self._retention, self._batch_size)
        deleted = int(status.removeprefix("DELETE "))
        self.deleted += deleted
        if deleted < self._batch_size:
            self._due_at = time.monotonic() + _IDLE_INTERVAL_SECONDS
            return False
        await asyncio.sleep(self._pause_seconds)
        return True


async def oldest_key_age(pool: asyncpg.Pool) -> float:
    """Returns the age of the oldest key in seconds; 0 without keys. Raises what asyncpg raises."""
    return float(await pool.fetchval(_OLDEST_KEY_AGE))
