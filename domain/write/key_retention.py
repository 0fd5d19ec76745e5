"""Deleting idempotency keys beyond their retention: a command that repeats one is carried out as a new one.

Keys are deleted in the order of their answers, in short statements that skip what another process has locked,
so that any number of processes may do it and no command waits longer than for one of them.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncpg

BATCH: Final = 500
"""Keys of one statement: some 5 ms of work."""

_PAUSE: Final = 0.05
"""Seconds between two batches: at most 10,000 keys a second, far more than are written."""

_EVERY: Final = 10.0
"""Seconds between two searches when none was due."""

# now() is stable, so it bounds the range of the index; with clock_timestamp() a search would read all of it.
_DELETE = """
    with due as (
        select key from commands where answered_at < now() - $1::interval
        order by answered_at limit $2 for update skip locked
    )
    delete from commands where key = any(array(select key from due))
"""

_OLDEST = """
    select greatest(0, extract(epoch from clock_timestamp() - min(answered_at)))::float8 from commands
"""


class KeyRetention:
    """The loop that deletes keys. Raises what asyncpg raises."""

    def __init__(
        self, pool: asyncpg.Pool, days: float, *, size: int = BATCH, pause: float = _PAUSE
    ) -> None:
        """`days`: how long keys are kept, 0 for ever; `size`: keys of a batch; `pause`: seconds behind it."""
        self._pool = pool
        self._kept = timedelta(days=days)
        self._size = size
        self._pause = pause
        self._due = time.monotonic()
        self.deleted = 0
        """Keys, since the start."""

    async def run_once(self) -> bool:
        """Deletes one batch; returns whether there may be another."""
        if not self._kept or time.monotonic() < self._due:
            return False
        status = await self._pool.execute(_DELETE, self._kept, self._size)
        deleted = int(status.removeprefix("DELETE "))
        self.deleted += deleted
        if deleted < self._size:
            self._due = time.monotonic() + _EVERY
            return False
        await asyncio.sleep(self._pause)
        return True


async def oldest(pool: asyncpg.Pool) -> float:
    """The age of the oldest key in seconds, 0 if there is none. Raises what asyncpg raises."""
    return float(await pool.fetchval(_OLDEST))
