"""PostgreSQL dies again and again under load, or throws its clients out: a command happens once, or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Make
from tests.chaos.history import History
from tests.chaos.verdict import verdict
from tests.chaos.workload import Workload
from tests.limited import limited

OURS = "application_name = 'tandem'"
TERMINATE = f"select pg_terminate_backend(pid) from pg_stat_activity where {OURS}"


@pytest.fixture
async def tandem(make: Make) -> AsyncIterator[Cluster]:
    """An API, a relay and a projector as processes, on stores of their own."""
    async with make(names=("api", "relay-1", "projector-1")) as tandem:
        yield tandem


@asynccontextmanager
async def judged(tandem: Cluster) -> AsyncIterator[Workload]:
    """Clients at work inside; at the end all they did and saw must be as promised."""
    workload = Workload(tandem.port, History(), seed=3, clients=8, people=20)
    async with workload.running():
        yield workload
    found = await verdict(tandem, workload)
    assert found.violations == []


async def acknowledged(workload: Workload, more: int) -> None:
    """Returns once so many more commands have been."""
    calls = workload.history.calls
    wanted = sum(call.outcome == "ok" for call in calls) + more
    async with limited(30):
        while sum(call.outcome == "ok" for call in calls) < wanted:
            await asyncio.sleep(0.01)


async def test_twenty_restarts_in_a_row_under_load_lose_nothing_and_double_nothing(
    tandem: Cluster,
) -> None:
    async with judged(tandem) as workload:
        for _ in range(20):
            await acknowledged(workload, 5)
            await tandem.postgres.kill()
            await tandem.postgres.start()
        await acknowledged(workload, 5)
    outcomes = [call.outcome for call in workload.history.calls]
    assert outcomes.count("ok") >= 100
    assert outcomes.count("unknown") > 0


async def test_backends_killed_under_load_lose_nothing_and_double_nothing(tandem: Cluster) -> None:
    async with judged(tandem) as workload, tandem.database() as administrator:
        for _ in range(30):
            await acknowledged(workload, 5)
            await administrator.execute(TERMINATE)
    assert len(workload.history.calls) >= 150


async def test_a_backend_that_crashes_takes_all_others_along_and_nothing_is_lost(
    tandem: Cluster,
) -> None:
    async with judged(tandem) as workload:
        for _ in range(3):
            await acknowledged(workload, 20)
            async with tandem.database() as administrator:
                tandem.postgres.crash(
                    await administrator.fetchval(
                        f"select pid from pg_stat_activity where {OURS} limit 1"
                    )
                )
        await acknowledged(workload, 20)
