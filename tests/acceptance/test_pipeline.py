"""The pipeline status says how far each part is, and which store does not respond."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from api.observability.pipeline import PartitionView, Pipeline, PipelineStatus
from api.observability.probe import TIMEOUT_SECONDS
from api.roles import Role
from api.runtime import drivers
from tests.acceptance.service import running
from tests.chaos.evidence import fingerprint
from tests.chaos.proxy import proxy
from tests.limited import limited
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from api.settings import Settings

WRITERS = frozenset({Role.API})


@asynccontextmanager
async def pipeline(settings: Settings) -> AsyncIterator[Pipeline]:
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(drivers.database(settings))
        redis = await stack.enter_async_context(drivers.redis_for_functions(settings))
        mark = fingerprint(PARTITIONS)
        yield Pipeline(pool, redis, partitions=PARTITIONS, fingerprint=mark, max_age_seconds=0.0)


async def until(pipeline: Pipeline, holds: Callable[[PipelineStatus], bool]) -> PipelineStatus:
    async with limited(10):
        while not holds(look := await pipeline.status()):
            pass
    return look


def unpublished(one: PartitionView) -> int:
    assert one.backlog is not None
    assert one.backlog.unpublished is not None
    return one.backlog.unpublished


def behind(one: PartitionView) -> int:
    assert one.status is not None
    return one.status.behind or 0


async def test_when_everything_has_flowed_nothing_waits(settings: Settings) -> None:
    async with running(settings) as client, pipeline(settings) as seen:
        for number in range(12):
            await client.create_user(email=f"user{number}@example.com")
        look = await until(seen, lambda look: not any(map(behind, look.partitions)))
    assert (look.postgresql_error, look.redis_error) == (None, None)
    for one in look.partitions:
        assert one.backlog is not None
        assert one.status is not None
        assert (one.backlog.unpublished, one.backlog.oldest) == (0, None)
        assert one.status.generation is not None
        assert one.status.owner is not None
        assert (one.status.lag, one.status.parked, one.status.building) == (None, 0, [])
    assert sum(one.status.applied for one in look.partitions if one.status) == 12


async def test_events_wait_in_the_log_without_a_relay(settings: Settings) -> None:
    async with running(settings):
        pass
    async with running(settings, WRITERS) as client, pipeline(settings) as seen:
        for number in range(5):
            await client.data(_create(number))
        look = await seen.status()
    assert sum(map(unpublished, look.partitions)) == 5
    assert {one.backlog.oldest is not None for one in look.partitions if one.backlog} >= {True}
    assert sum(map(behind, look.partitions)) == 0


async def test_entries_wait_in_the_streams_without_a_projector(settings: Settings) -> None:
    async with running(settings):
        pass
    async with (
        running(settings, WRITERS | {Role.RELAY}) as client,
        pipeline(settings) as seen,
    ):
        for number in range(5):
            await client.data(_create(number))
        look = await until(seen, lambda look: sum(map(behind, look.partitions)) == 5)
    assert sum(map(unpublished, look.partitions)) == 0
    lags = [one.status.lag for one in look.partitions if one.status and behind(one)]
    assert all(lag is not None and lag < 60 for lag in lags)


async def test_without_a_cursor_the_number_of_waiting_events_is_unknown(settings: Settings) -> None:
    async with pipeline(settings) as seen:
        look = await seen.status()
    for one in look.partitions:
        assert one.backlog is not None
        assert one.backlog.unpublished is None
        assert one.status is not None
        assert (one.status.generation, one.status.behind) == (None, None)


@pytest.mark.parametrize("store", ["database_url", "redis_url"])
async def test_a_silent_store_is_named_in_time_and_the_other_is_looked_at(
    settings: Settings, store: str
) -> None:
    async with running(settings):
        pass
    async with proxy(getattr(settings, store)) as wire:
        through = settings.model_copy(update={store: wire.url})
        async with pipeline(through) as seen:
            wire.blackhole("both")
            async with limited(2 * TIMEOUT_SECONDS + 1):
                look = await seen.status()
            wire.flow()
    writes, reads = (True, False) if store == "database_url" else (False, True)
    assert (look.postgresql_error is not None, look.redis_error is not None) == (writes, reads)
    assert all((one.backlog is None) == writes for one in look.partitions)
    assert all((one.status is None) == reads for one in look.partitions)


async def test_concurrent_callers_share_one_status_query(settings: Settings) -> None:
    async with pipeline(settings) as seen:
        one, other = await asyncio.gather(seen.status(), seen.status())
    assert one is other


def _create(number: int) -> str:
    return (
        f'mutation {{ createUser(input: {{name: "A", email: "a{number}@example.com"}}) {{ id }} }}'
    )
