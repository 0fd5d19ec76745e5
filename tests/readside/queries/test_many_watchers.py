"""However many watch, one connection listens; however often they come and go, nothing is left."""

from __future__ import annotations

import asyncio
import gc
import statistics
import tracemalloc
from contextlib import aclosing
from itertools import pairwise
from typing import TYPE_CHECKING

from domain.users.events import UserCreated, UserRenamed
from readside.projections import users
from tests.limited import limited
from tests.readside.contents import eventually
from tests.readside.envelopes import user_in

if TYPE_CHECKING:
    from tests.readside.projection_harness import ProjectionHarness

WATCHED = [user_in(0, number) for number in range(10)]
WATCHERS = 1_000


async def heard_of(harness: ProjectionHarness) -> list[str]:
    """Returns the users' channels with subscribers."""
    return [str(channel) for channel in await harness.redis.pubsub_channels("tandem:{*")]


async def begin(harness: ProjectionHarness) -> None:
    for user in WATCHED:
        await harness.given(UserCreated(name="A", email=f"{user}@example.com"), user=user)


async def test_a_thousand_subscriptions_share_one_connection_and_each_is_notified(
    harness: ProjectionHarness,
) -> None:
    await begin(harness)
    watching = [users.changes(harness.reads, WATCHED[n % 10]) for n in range(WATCHERS)]
    await asyncio.gather(*(anext(changes) for changes in watching))
    assert len(await harness.redis.client_list(_type="pubsub")) == 1
    assert len(await heard_of(harness)) == len(WATCHED)
    waiting = [asyncio.create_task(anext(changes)) for changes in watching]
    await asyncio.sleep(0)
    await harness.redis.config_resetstat()
    for user in WATCHED:
        await harness.given(UserRenamed(name="B"), user=user)
    async with limited(20):
        rows = await asyncio.gather(*waiting)
    assert {row and (row.version, row.name) for row in rows} == {(2, "B")}
    reads = (await harness.redis.info("commandstats"))["cmdstat_hmget"]["calls"]
    assert reads < WATCHERS / 10, "a change is read once, not once for each watcher"
    await asyncio.gather(*(changes.aclose() for changes in watching))


async def test_ten_thousand_ended_subscriptions_leave_nothing(harness: ProjectionHarness) -> None:
    await begin(harness)

    async def come_and_go(number: int) -> None:
        async with aclosing(users.changes(harness.reads, WATCHED[number % 10])) as changes:
            assert await anext(changes) is not None

    async def a_thousand() -> None:
        await asyncio.gather(*map(come_and_go, range(WATCHERS)))

    await a_thousand()  # what is made once is made
    tasks = asyncio.all_tasks()
    tracemalloc.start()
    try:
        await a_thousand()
        memory = [_memory()]
        for _ in range(8):
            await a_thousand()
            memory.append(_memory())
    finally:
        tracemalloc.stop()

    async def silence() -> bool:
        return not await heard_of(harness)

    await eventually(silence)
    assert asyncio.all_tasks() == tasks
    assert len(await harness.redis.client_list(_type="pubsub")) == 1
    # What a watcher leaves is left in every round; a table that the loop grows once is not.
    grown = statistics.median(after - before for before, after in pairwise(memory))
    assert grown < WATCHERS * 10, "more than 10 bytes were left by each of them"


def _memory() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
