"""Callers share a computation, unless it began before what they ask about."""

from __future__ import annotations

import asyncio
import time

from api.observability.coalesce import Coalesced


async def test_a_caller_gets_no_result_that_is_older_than_it_allows() -> None:
    started: list[float] = []

    async def compute() -> float:
        started.append(time.monotonic())
        await asyncio.sleep(0.02)
        return started[-1]

    shared = Coalesced(compute, max_age_seconds=0.1)
    first = await shared.get()
    assert await shared.get() == first
    since = time.monotonic()
    fresh = await asyncio.gather(*(shared.get(since) for _ in range(20)))
    assert min(fresh) >= since
    assert len(set(fresh)) == 1
    assert started[1] - started[0] >= 0.09
    assert len(started) == 2
