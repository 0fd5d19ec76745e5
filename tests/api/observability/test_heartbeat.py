"""A loop that hangs is told from one that has nothing to do, and from one that waits for its stores."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import RedisError

from api.observability import heartbeat as pulses
from api.observability.heartbeat import Heartbeat, worst
from api.runtime.background import cancel_all, run_forever
from tests.limited import limited


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop is frozen as soon as it stands still."""
    monkeypatch.setattr(pulses, "STALLED_SECONDS", 0.2)


class Rounds:
    """Passes that the test ends one by one, and counts."""

    def __init__(self, *, finds_work: bool = False) -> None:
        self._finds_work = finds_work
        self.begun = asyncio.Semaphore(0)
        self.goes_on = asyncio.Semaphore(0)
        self.raises: Exception | None = None

    async def run_once(self) -> bool:
        self.begun.release()
        await self.goes_on.acquire()
        if self.raises is not None:
            raise self.raises
        return self._finds_work


async def nothing_to_do() -> None:
    await asyncio.sleep(0.01)


async def frozen(pulse: Heartbeat) -> None:
    async with limited(5):
        while not pulse.is_frozen:
            await asyncio.sleep(0.01)


async def test_a_pass_that_does_not_end_is_a_frozen_loop_until_it_goes_on() -> None:
    pulse, rounds = Heartbeat("relay"), Rounds()
    loop = asyncio.create_task(run_forever(pulse, rounds.run_once, nothing_to_do))
    await rounds.begun.acquire()
    assert pulse.wrong is None
    await frozen(pulse)
    assert pulse.wrong is not None
    assert "relay has not gone round" in pulse.wrong
    rounds.goes_on.release()
    await rounds.begun.acquire()
    assert pulse.wrong is None
    await cancel_all([loop])


async def test_a_loop_with_nothing_to_do_is_not_frozen() -> None:
    pulse, rounds = Heartbeat("relay"), Rounds()
    loop = asyncio.create_task(run_forever(pulse, rounds.run_once, nothing_to_do))
    for _ in range(40):
        rounds.goes_on.release()
        await rounds.begun.acquire()
        assert pulse.wrong is None
    await cancel_all([loop])


async def test_a_long_pass_that_beats_is_not_frozen() -> None:
    pulse = Heartbeat("projector-0")
    for _ in range(10):
        await asyncio.sleep(0.05)
        pulse.beat()
        assert not pulse.is_frozen


async def test_a_loop_that_waits_for_its_stores_says_so_and_is_not_frozen() -> None:
    pulse, rounds = Heartbeat("relay"), Rounds()
    rounds.raises = RedisError("redis://secret@host")
    loop = asyncio.create_task(run_forever(pulse, rounds.run_once, nothing_to_do))
    await rounds.begun.acquire()
    rounds.goes_on.release()
    await rounds.begun.acquire()
    assert pulse.wrong is not None
    assert "waited for its stores" in pulse.wrong
    assert "RedisError" in pulse.wrong
    assert "secret" not in pulse.wrong
    rounds.raises = None
    rounds.goes_on.release()
    await rounds.begun.acquire()
    assert pulse.wrong is None
    await cancel_all([loop])


async def test_a_frozen_loop_is_worse_than_one_that_waits() -> None:
    hangs, waits, sound = Heartbeat("c"), Heartbeat("b"), Heartbeat("a")
    await frozen(hangs)
    waits.wait_out("ConnectionError")
    sound.beat()
    assert worst([sound]) is None
    assert worst([sound, waits]) is waits
    assert worst([waits, hangs, sound]) is hangs


async def test_a_loop_that_finds_work_in_every_pass_no_longer_waits_once_one_went_well() -> None:
    pulse, rounds = Heartbeat("projector-0"), Rounds(finds_work=True)
    rounds.raises = RedisError("away")
    loop = asyncio.create_task(run_forever(pulse, rounds.run_once, nothing_to_do))
    await rounds.begun.acquire()
    rounds.goes_on.release()
    await rounds.begun.acquire()
    assert pulse.wrong is not None
    rounds.raises = None
    rounds.goes_on.release()
    await rounds.begun.acquire()
    assert pulse.wrong is None
    await cancel_all([loop])
