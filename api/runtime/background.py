"""Background loops around run_once, which retry while a store is unavailable and fail on other errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import asyncpg
import structlog
from redis.exceptions import RedisError

from api.operator_error import OperatorError
from api.server_urls import first_line
from domain.log.log_identity import ForeignLog
from domain.write.database import UNAVAILABLE_ERRORS

TRANSIENT_ERRORS = (
    *UNAVAILABLE_ERRORS,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that its server is closing
    asyncpg.TransactionRollbackError,
    RedisError,
)
"""Errors that the drivers raise while a store is unavailable, restarting, full or a replica."""

_MAX_PAUSE_SECONDS = 1.0

_ATTEMPTS_PER_LINE = 30
"""Failed attempts per line of the log about one outage."""

_CANCEL_AGAIN_SECONDS = 1.0
"""Time after which a cancelled task that is still running is cancelled again."""

_log = structlog.get_logger(__name__)


RunOnce = Callable[[], Awaitable[bool | int]]
"""One pass of a loop; returns whether it found work."""


class LoopFailed(OperatorError):
    """A part of the process has ended unexpectedly; str() is one sentence."""


async def run_forever(
    name: str,
    run_once: RunOnce,
    idle: Callable[[], Awaitable[object]],
    *,
    on_beat: Callable[[], None],
    on_outage: Callable[[str | None], None],
) -> None:
    """Runs passes indefinitely, and waits in `idle` after a pass that found no work. Raises LoopFailed.

    Calls `on_beat` before each pass, and `on_outage` with the type of the error when a store is unavailable,
    with None after the first pass that succeeds again.
    """
    pause, attempts = 0.0, 0
    while True:
        try:
            on_beat()
            found_work = await run_once()
        except ForeignLog as error:
            raise LoopFailed(str(error)) from error
        except TRANSIENT_ERRORS as error:
            if attempts % _ATTEMPTS_PER_LINE == 0:
                reason = f"{type(error).__name__}: {first_line(str(error))}"[:200]
                _log.warning("worker.store_unavailable", worker=name, reason=reason, tries=attempts)
            on_outage(type(error).__name__)
            attempts += 1
            pause = min(_MAX_PAUSE_SECONDS, pause * 2 or 0.05)
            await asyncio.sleep(pause)
        else:
            if pause:
                _log.info("worker.resumed", worker=name)
                on_outage(None)
            pause, attempts = 0.0, 0
            if not found_work:
                await idle()


async def cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancels tasks repeatedly until they end: a driver that is sending may swallow a cancellation."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)
