"""Loops around run_once. Weather (a store that is away) is waited out; anything else ends the process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import asyncpg
import structlog
from redis.exceptions import RedisError

from api.observability.heartbeat import Heartbeat
from api.operator_error import OperatorError
from api.server_urls import first_line
from domain.log.log_identity import ForeignLog
from domain.write.database import UNAVAILABLE_ERRORS

TRANSIENT_ERRORS = (
    *UNAVAILABLE_ERRORS,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection whose server has just said goodbye
    asyncpg.TransactionRollbackError,
    RedisError,
)
"""What the drivers raise when a store is away, restarting, full or not itself."""

_MAX_PAUSE_SECONDS = 1.0

_LOG_INTERVAL_SECONDS = 30
"""Tries between two lines of the log about the same outage."""

_SWALLOWED = 1.0
"""Seconds after which a task that was cancelled and goes on is cancelled again."""

_log = structlog.get_logger(__name__)


class LoopFailed(OperatorError):
    """A part of the process has ended by itself; str() is one sentence."""


async def run_forever(
    pulse: Heartbeat,
    run_once: Callable[[], Awaitable[bool | int]],
    idle: Callable[[], Awaitable[object]],
) -> None:
    """Runs passes as long as they find work, and waits in `idle` when one found none. Raises Fallen."""
    pause, tries = 0.0, 0
    while True:
        try:
            pulse.beat()
            more = await run_once()
        except ForeignLog as error:
            raise LoopFailed(str(error)) from error
        except TRANSIENT_ERRORS as error:
            if not tries % _LOG_INTERVAL_SECONDS:
                reason = f"{type(error).__name__}: {first_line(str(error))}"[:200]
                _log.warning("worker.waits", worker=pulse.name, reason=reason, tries=tries)
            pulse.wait_out(type(error).__name__)
            tries += 1
            pause = min(_MAX_PAUSE_SECONDS, pause * 2 or 0.05)
            await asyncio.sleep(pause)
        else:
            if pause:
                _log.info("worker.goes_on", worker=pulse.name)
                pulse.wait_out(None)
            pause, tries = 0.0, 0
            if not more:
                await idle()


async def cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancels tasks until they are done. Once is not enough: a driver that is just sending may swallow it."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_SWALLOWED)


class WakeUp:
    """Wakes a loop. However often it is rung, a waiting loop is woken once."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: how long a loop waits at most when nobody rings."""
        self._seconds = seconds
        self._rung = asyncio.Event()

    def ring(self, _partition: int = 0) -> None:
        self._rung.set()

    async def wait(self) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()
