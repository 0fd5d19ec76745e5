"""Wakes a relay before its next poll: in the same process, or in other processes through Redis."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from readside.errors import ReadModelError
from readside.redis_connection.cluster_connection import ReadConnection
from readside.redis_connection.encoding import pack
from readside.redis_functions.keys import TANDEM, Namespace


class WakeUp:
    """A wake-up of one loop. Any number of notifications wake a waiting loop once."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._notified = asyncio.Event()

    def notify(self, _partition: int = 0) -> None:
        self._notified.set()

    async def wait(self) -> None:
        """Waits for a notification, at most until the timeout."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._notified.wait()
        except TimeoutError:
            return
        self._notified.clear()


class RedisWakeUp:
    """A wake-up for the relays of other processes, with at most one PUBLISH in flight; they poll anyway."""

    def __init__(self, redis: ReadConnection, namespace: Namespace = TANDEM) -> None:
        self._redis = redis
        self._command = pack(("PUBLISH", namespace.wake_channel, ""))
        self._in_flight: asyncio.Future[list[Any]] | None = None
        self._pending = False

    def notify(self, _partition: int = 0) -> None:
        """Publishes a wake-up, or does so as soon as the one in flight has its reply."""
        if self._in_flight is not None:
            self._pending = True
            return
        with suppress(ReadModelError):
            self._in_flight = asyncio.ensure_future(self._redis.send([self._command]))
            self._in_flight.add_done_callback(self._on_reply)

    def _on_reply(self, reply: asyncio.Future[list[Any]]) -> None:
        if not reply.cancelled():
            reply.exception()  # retrieved, so that asyncio does not log it
        self._in_flight = None
        if self._pending:
            self._pending = False
            self.notify()
