"""A cluster under load, and judged when the load is over: what the tests of the fault matrix share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.chaos.faults import slow_commits
from tests.chaos.history import History
from tests.chaos.verdict import at_rest, verdict
from tests.chaos.workload import Workload
from tests.limited import limited

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster

WARM = 100
"""Acknowledged commands before anything happens."""

PAUSE_SECONDS = 0.02
"""The pause of a client after each step: the faults show the same, and a run costs half the CPU."""


@asynccontextmanager
async def under_load(
    cluster: Cluster, *, seed: int = 1, lossy: bool = False
) -> AsyncIterator[Workload]:
    """Clients are at work inside; on the way out everything heals and no promise must have been broken."""
    workload = load_of(cluster, seed=seed, lossy=lossy)
    await at_rest(cluster, within=20.0)
    await slow_commits(cluster)
    async with judged_round(cluster, workload):
        yield workload


@asynccontextmanager
async def judged_round(
    cluster: Cluster, workload: Workload, *, warm: int = WARM
) -> AsyncIterator[None]:
    """The same once more for a workload that has come to rest, after fewer commands that are acknowledged."""
    async with workload.running():
        await acknowledged(workload, warm)
        yield
    await judge(cluster, workload)


def load_of(cluster: Cluster, *, seed: int = 1, lossy: bool = False) -> Workload:
    return Workload(
        cluster.port,
        History(lossy=lossy),
        seed=seed,
        clients=6,
        people=25,
    )


async def judge(cluster: Cluster, workload: Workload) -> None:
    """Fails with every promise that was broken."""
    judged = await verdict(cluster, workload)
    assert not judged.violations, "\n".join(f"{v.rule}: {v.what}" for v in judged.violations)


async def acknowledged(workload: Workload, more: int, *, within: float = 20.0) -> None:
    """Waits until so many more commands were carried out: the service works."""
    enough = _done(workload) + more
    async with limited(within):
        while _done(workload) < enough:
            await asyncio.sleep(0.01)


async def answered(workload: Workload, more: int, *, within: float = 20.0) -> None:
    """Waits until so many more queries were answered."""
    enough = _seen(workload) + more
    async with limited(within):
        while _seen(workload) < enough:
            await asyncio.sleep(0.01)


def _done(workload: Workload) -> int:
    return sum(call.outcome == "ok" for call in workload.history.calls)


def _seen(workload: Workload) -> int:
    return sum(seen.code is None for seen in workload.history.reads)
