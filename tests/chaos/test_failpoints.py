"""A process that dies, or fails, between any two steps: nothing is lost, nothing happens twice."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

import pytest

from tests.chaos.conftest import Make
from tests.chaos.failpoints import POINTS
from tests.chaos.load import acknowledged, judged_round, under_load
from tests.limited import limited

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.workload import Workload

STEADY = {
    "store.before_commit": "api",
    "store.committed": "api",
    "erase.before_commit": "api",
    "erase.committed": "api",
    "relay.read": "relay-1",
    "relay.appended": "relay-1",
    "projector.read": "projector-1",
    "projector.applied": "projector-1",
}
"""Points that are passed all the time, and by whom."""

EMPTIED = {
    "relay.before_begin": "relay-1",
    "relay.begun": "relay-1",
    "rebuild.begun": "projector-1",
    "rebuild.counted": "projector-1",
    "rebuild.paged": "projector-1",
    "rebuild.caught_up": "projector-1",
    "rebuild.before_flip": "projector-1",
    "rebuild.flipped": "projector-1",
    "rebuild.removing": "projector-1",
}
"""Points that are passed when Redis was emptied."""

ELSEWHERE = {"relay.read_page", "migrate.executed", "migrate.noted"}
"""See test_processes_backlog.py and test_processes_migrate.py."""

ALONE = ("api", "relay-1", "projector-1")


def test_every_failpoint_is_tried() -> None:
    assert STEADY.keys() | EMPTIED.keys() | ELSEWHERE == POINTS.keys()


@pytest.mark.parametrize("name", ALONE)
async def test_whoever_dies_between_two_steps_loses_nothing(make: Make, name: str) -> None:
    async with make(names=ALONE) as cluster, under_load(cluster) as workload:
        for point in _points(STEADY, name):
            await cluster.restart(name, f"{point}=kill@2")
            await _died(cluster.members[name].ended())
            cluster.replace_ended()
        await acknowledged(workload, 30)


@pytest.mark.parametrize("name", ["relay-1", "projector-1"])
async def test_whoever_dies_while_redis_is_filled_again_loses_nothing(
    make: Make, name: str
) -> None:
    """Each point in one cluster, and judged by itself."""
    first, *others = _points(EMPTIED, name)
    async with make(names=ALONE) as cluster:
        async with under_load(cluster) as workload:
            await _dies_while_filling(cluster, workload, name, first)
        for point in others:
            async with judged_round(cluster, workload, warm=30):
                await _dies_while_filling(cluster, workload, name, point)


async def _dies_while_filling(cluster: Cluster, workload: Workload, name: str, point: str) -> None:
    print(point)  # noqa: T201 -- pytest shows it with a failure
    await cluster.restart(name, f"{point}=kill@2")
    async with cluster.redis() as redis:
        if point == "rebuild.removing":  # something is removed only when a stream is started again
            await redis.delete(*[key async for key in redis.scan_iter(match="*:cursor")])
        else:
            await redis.flushall()
    await _died(cluster.members[name].ended())
    cluster.replace_ended()
    await acknowledged(workload, 30)


@pytest.mark.parametrize("name", ALONE)
async def test_whoever_fails_between_two_steps_goes_on(make: Make, name: str) -> None:
    points = [*_points(STEADY, name), *_points(EMPTIED, name)]
    failing = ",".join(f"{point}=raise@{passage}" for point in points for passage in (1, 2))
    async with make(names=ALONE) as cluster, under_load(cluster) as workload:
        await cluster.restart(name, failing)
        async with cluster.redis() as redis:
            await redis.flushall()
        await acknowledged(workload, 50)
        assert cluster.members[name].running


def _points(points: dict[str, str], name: str) -> list[str]:
    return [point for point, member in points.items() if member == name]


async def _died(death: Awaitable[None]) -> None:
    async with limited(15):
        await death
