"""Calls that begin in the same turn of the event loop share one execution, and later ones do not."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from readside.queries.shared_calls import SharedCalls


class Counted:
    """A call that returns how many there have been, after `gate` has opened."""

    def __init__(self) -> None:
        self.shared = SharedCalls()
        self.gate = asyncio.Event()
        self.calls = 0
        self.error: Exception | None = None

    async def call(self, key: str = "key") -> int:
        return await self.shared(key, self._execute)

    async def _execute(self) -> int:
        self.calls += 1
        number = self.calls
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return number


async def begun(counted: Counted, *keys: str) -> list[asyncio.Task[int]]:
    """Returns calls that have begun in the same turn of the event loop."""
    tasks = [asyncio.create_task(counted.call(key)) for key in keys]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_calls_of_one_turn_share_an_execution() -> None:
    counted = Counted()
    tasks = await begun(counted, "a", "a", "b", "a")
    counted.gate.set()
    first, second, other, third = await asyncio.gather(*tasks)
    assert first == second == third != other
    assert counted.calls == 2


async def test_a_later_call_does_not_join_one_that_has_begun() -> None:
    counted = Counted()
    [first] = await begun(counted, "a")
    [second] = await begun(counted, "a")
    counted.gate.set()
    assert (await first, await second) == (1, 2)


async def test_a_call_that_is_cancelled_leaves_the_others_their_result() -> None:
    counted = Counted()
    first, second = await begun(counted, "a", "a")
    first.cancel()
    await asyncio.wait([first])
    counted.gate.set()
    assert first.cancelled()
    assert await second == 1


async def test_an_error_that_no_call_waits_for_is_not_logged() -> None:
    counted = Counted()
    counted.error = ValueError("none")
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    [task] = await begun(counted, "a")
    task.cancel()
    await asyncio.wait([task])
    counted.gate.set()
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert reported == []


async def test_an_error_reaches_every_call() -> None:
    counted = Counted()
    counted.error = ValueError("none")
    tasks = await begun(counted, "a", "a")
    counted.gate.set()
    for task in tasks:
        with pytest.raises(ValueError, match="none"):
            await task
