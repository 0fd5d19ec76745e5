"""What a look of the relay costs, however long the log is: idle, busy, and with a backlog to page through."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

import asyncpg

from api.embedded import embedded_stores
from domain.log.cursor import Snapshot, Window
from domain.log.relay import MAX_APPEND_EVENTS
from domain.log.relay_log import RelayLog
from tests.benchmarks import history
from tests.benchmarks.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.benchmarks.bench import Bench

SIZES = (10_000, 1_000_000)
BUSY = 50
"""Events since the last look, each of a transaction of its own."""

LOOKS = 200
_ALL = range(history.PARTITIONS)


async def relay_poll(bench: Bench) -> None:
    for events in SIZES:
        async with (
            embedded_stores(bench.directory / f"log-{events}") as stores,
            history.migrated(stores.database_url) as connection,
            asyncpg.create_pool(stores.database_url, min_size=1, max_size=1) as pool,
        ):
            async with bench.step(f"writing {events:,} events"):
                await history.write(connection, events)
            async with bench.step(f"looking at {events:,} events"):
                bench.found.figures += await _looks(pool, connection, events)


async def _looks(pool: asyncpg.Pool, connection: asyncpg.Connection, events: int) -> list[Figure]:
    log = RelayLog(pool)
    before, _ = await log.current_snapshot()
    idle = await _typical(lambda: log.visible_since(before, _ALL, MAX_APPEND_EVENTS))
    for _ in range(BUSY):
        await history.write_one(connection)
    busy = await _typical(lambda: log.visible_since(before, _ALL, MAX_APPEND_EVENTS))
    now, _ = await log.current_snapshot()
    backlog = Window(since=Snapshot(1), until=now, position=events // 2)
    page = await _typical(lambda: log.page(0, backlog, MAX_APPEND_EVENTS))
    return [
        Figure(name=f"a look at {events:,} events, idle", value=idle, unit="ms"),
        Figure(name=f"  with {BUSY} new events", value=busy, unit="ms"),
        Figure(name=f"  a page of {MAX_APPEND_EVENTS} of a backlog", value=page, unit="ms"),
    ]


async def _typical(look: Callable[[], Awaitable[object]]) -> float:
    """The median of many, in milliseconds. The first ones let PostgreSQL settle on its plan."""
    took = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        await look()
        took.append(time.perf_counter() - began)
    return median(took[10:]) * 1e3
