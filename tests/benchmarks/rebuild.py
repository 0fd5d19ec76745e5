"""How fast one process builds its read models anew, and in what memory, for a short and a long log."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec
from redis.asyncio import Redis

from tests.benchmarks import history
from tests.benchmarks.cpu import memory_of
from tests.benchmarks.figures import Figure
from tests.benchmarks.services import tandem_serve
from tests.benchmarks.wire import connections

if TYPE_CHECKING:
    from tests.benchmarks.bench import Bench
    from tests.benchmarks.services import Service

SIZES = (80_000, 400_000)
QUESTION = msgspec.json.encode({"query": "{ users(first: 1) { totalCount } }"})


async def rebuild(bench: Bench) -> None:
    for events in SIZES:
        directory = bench.directory / f"rebuild-{events}"
        directory.mkdir()
        async with tandem_serve(directory) as service:
            assert service.stores is not None
            async with (
                bench.step(f"writing {events:,} events"),
                history.migrated(service.stores.database_url) as connection,
            ):
                await history.write(connection, events)
            async with bench.step(f"rebuilding {events:,} events"):
                seconds = await rebuilt(service, events // history.EACH)
            peak = memory_of(service.pids[0], "VmHWM") / 1024**2
        bench.found.figures += [
            Figure(name=f"rebuild of {events:,} events", value=events / seconds, unit="events/s"),
            Figure(name="  peak memory of the process", value=peak, unit="MB"),
        ]


async def rebuilt(service: Service, users: int) -> float:
    """Seconds from an emptied Redis to the first answer that counts every user."""
    assert service.stores is not None
    async with Redis.from_url(service.stores.redis_url) as redis:
        await redis.flushall()
    began = time.perf_counter()
    async with connections(service.url, 1) as (connection,):
        while True:
            answer = msgspec.json.decode(await connection.post(QUESTION))
            if "errors" not in answer:
                assert answer["data"]["users"]["totalCount"] == users, answer
                return time.perf_counter() - began
            await asyncio.sleep(0.02)  # asking more often would take CPU from the rebuild
