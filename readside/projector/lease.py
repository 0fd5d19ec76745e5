"""The lease of a partition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.exceptions import RedisError

from readside.redis_functions.functions import Functions

LEASE_SECONDS = 2.0
"""How long the partition of a dead process stays leased."""


class Lease:
    """A lease in Redis. It only avoids duplicate work: safety rests on the version gate."""

    def __init__(self, functions: Functions, key: str, holder: str) -> None:
        self._functions = functions
        self._key = key
        self._holder = holder
        self._renewed_at = float("-inf")

    @property
    def was_acquired(self) -> bool:
        """Whether it was acquired since its last release."""
        return self._renewed_at > float("-inf")

    @property
    def is_fresh(self) -> bool:
        """Whether it needs no renewal, because less than a quarter of it is over."""
        return time.monotonic() < self._renewed_at + LEASE_SECONDS / 4

    async def acquire(self) -> bool:
        """Acquires or renews the lease; returns False if another process holds it."""
        sent_at = time.monotonic()
        milliseconds = int(LEASE_SECONDS * 1000)
        held = await self._functions.call("lease", [self._key], self._holder, milliseconds)
        if held:
            self._renewed_at = sent_at
        return bool(held)

    async def release(self, *channel: str) -> None:
        """Releases the lease and notifies the channel, if there is one."""
        await self._functions.call("release", [self._key], self._holder, *channel)
        self._renewed_at = float("-inf")

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Keeps the lease while the block takes longer than it lasts."""
        task = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            task.cancel()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 4)
            with suppress(RedisError, OSError):
                await self.acquire()
