"""A Redis without room for a second read model: one sentence says so, and the serving one is left alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.exceptions import OutOfMemoryError
from structlog.testing import capture_logs

from api.observability.health import OK, _check_loop
from api.observability.heartbeat import Heartbeat
from api.observability.pipeline import PartitionView, PipelineStatus
from api.observability.problems import problems
from domain.users.events import UserCreated
from readside.admin.maintenance import MaintenanceRefused
from readside.admin.partition_status import PartitionStatus, partition_statuses
from readside.generations.memory_capacity import FULL
from readside.projection_set import FINGERPRINT, PROJECTIONS
from tests.readside.envelopes import PARTITIONS, user_in
from tests.readside.harness import World

OTHER = "other"
USERS = 400


@pytest.fixture(autouse=True)
async def _unlimited_again(world: World) -> AsyncIterator[None]:
    yield
    await world.redis.config_set("maxmemory", 0)


async def serving(world: World) -> None:
    for number in range(USERS):
        name = f"{'N' * 90}{number}"
        world.commit(user_in(0, number), UserCreated(name=name, email=f"{name}@example.com"))
    await world.build()


async def limit(world: World) -> None:
    """Leaves room for a part of a second read model."""
    info = await world.redis.info("memory")
    await world.redis.config_set("maxmemory", int(info["used_memory"]) + 250_000)


def look(found: list[PartitionStatus]) -> PipelineStatus:
    partitions = [
        PartitionView(number=number, backlog=None, status=standing)
        for number, standing in enumerate(found)
    ]
    return PipelineStatus(at=0.0, postgresql_error=None, redis_error=None, partitions=partitions)


async def test_a_manual_rebuild_in_a_full_redis_is_reported_removed_and_the_old_read_model_stays_active(
    world: World,
) -> None:
    await serving(world)
    before = await world.serving()
    await limit(world)
    with pytest.raises(MaintenanceRefused) as refused:
        await world.steering().rebuild()
    assert FULL in str(refused.value)
    assert await world.serving() == before
    assert await world.generations().interrupted() == []
    await world.redis.config_set("maxmemory", 0)
    assert before is not None
    assert (await world.steering().rebuild()).after != before.generation


async def statuses(world: World) -> list[PartitionStatus]:
    found = await partition_statuses(world.redis, PARTITIONS, FINGERPRINT)
    return [status for status in found if status is not None]


async def test_a_rebuild_by_a_projector_is_in_the_log_the_status_and_the_health_for_a_minute(
    world: World,
) -> None:
    await serving(world)
    assert not any(one.full for one in await statuses(world))
    await limit(world)
    async with world.projector(projections=PROJECTIONS, fingerprint=OTHER) as projector:
        with capture_logs() as logged:
            for _ in range(2):
                with pytest.raises(OutOfMemoryError):
                    await projector.run_once()
    lines = [each for each in logged if each["event"] == "rebuild.aborted"]
    assert [(each["partition"], each["todo"]) for each in lines] == [(0, FULL)]
    found = look(await statuses(world))
    assert FULL in [problem.sentence for problem in problems(found)]
    assert _check_loop(Heartbeat("projector 0"), found, 60.0) == (FULL, False)
    await world.redis.delete(*(f"tandem:{{{number}}}:full" for number in range(PARTITIONS)))
    found = look(await statuses(world))
    assert _check_loop(None, found, 60.0) == (OK, False)
    await world.redis.config_set("maxmemory", 1)
    assert all(one.full for one in await statuses(world))
