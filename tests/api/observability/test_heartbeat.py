"""A stalled loop is distinguished from one that has nothing to do, and from one that waits for its stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import RedisError

from api.observability import heartbeat as heartbeats
from api.observability.heartbeat import Heartbeat, most_severe
from api.runtime.background import cancel_all, run_forever
from tests.limited import limited


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop is stalled after 0.2 seconds."""
    monkeypatch.setattr(heartbeats, "STALLED_SECONDS", 0.2)


class Passes:
    """Passes that the test ends one by one."""

    def __init__(self, *, finds_work: bool = False) -> None:
        self._finds_work = finds_work
        self.started = asyncio.Semaphore(0)
        self.may_end = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def run_once(self) -> bool:
        self.started.release()
        await self.may_end.acquire()
        if self.error is not None:
            raise self.error
        return self._finds_work

    async def next(self) -> None:
        """Ends the current pass and waits for the next one."""
        self.may_end.release()
        await self.started.acquire()


@asynccontextmanager
async def looping(heartbeat: Heartbeat, passes: Passes) -> AsyncIterator[None]:
    """Runs the loop, once its first pass has started."""
    loop = asyncio.create_task(
        run_forever(
            heartbeat.name,
            passes.run_once,
            lambda: asyncio.sleep(0.01),
            on_beat=heartbeat.beat,
            on_outage=heartbeat.set_outage,
        )
    )
    await passes.started.acquire()
    yield
    await cancel_all([loop])


async def stalled(heartbeat: Heartbeat) -> None:
    async with limited(5):
        while not heartbeat.is_stalled:
            await asyncio.sleep(0.01)


async def test_a_pass_that_does_not_end_stalls_the_loop_until_it_does() -> None:
    heartbeat, passes = Heartbeat("relay"), Passes()
    async with looping(heartbeat, passes):
        assert heartbeat.problem is None
        await stalled(heartbeat)
        assert heartbeat.problem is not None
        assert "relay has made no progress" in heartbeat.problem
        await passes.next()
        assert heartbeat.problem is None


async def test_a_loop_with_nothing_to_do_is_not_stalled() -> None:
    heartbeat, passes = Heartbeat("relay"), Passes()
    async with looping(heartbeat, passes):
        for _ in range(40):
            await passes.next()
            assert heartbeat.problem is None


async def test_a_long_pass_that_beats_is_not_stalled() -> None:
    heartbeat = Heartbeat("projector-0")
    for _ in range(10):
        await asyncio.sleep(0.05)
        heartbeat.beat()
        assert not heartbeat.is_stalled


async def test_a_loop_that_waits_for_its_stores_says_so_and_is_not_stalled() -> None:
    heartbeat, passes = Heartbeat("relay"), Passes()
    passes.error = RedisError("redis://secret@host")
    async with looping(heartbeat, passes):
        await passes.next()
        assert not heartbeat.is_stalled
        assert heartbeat.problem is not None
        assert "waited for its stores" in heartbeat.problem
        assert "RedisError" in heartbeat.problem
        assert "secret" not in heartbeat.problem
        passes.error = None
        await passes.next()
        assert heartbeat.problem is None


async def test_a_stalled_loop_is_more_severe_than_one_that_waits() -> None:
    hanging, waiting, healthy = Heartbeat("c"), Heartbeat("b"), Heartbeat("a")
    await stalled(hanging)
    waiting.set_outage("ConnectionError")
    healthy.beat()
    assert most_severe([healthy]) is None
    assert most_severe([healthy, waiting]) is waiting
    assert most_severe([waiting, hanging, healthy]) is hanging


async def test_a_loop_that_finds_work_in_every_pass_has_recovered_after_one_success() -> None:
    heartbeat, passes = Heartbeat("projector-0"), Passes(finds_work=True)
    passes.error = RedisError("away")
    async with looping(heartbeat, passes):
        await passes.next()
        assert heartbeat.problem is not None
        passes.error = None
        await passes.next()
        assert heartbeat.problem is None
