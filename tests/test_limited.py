"""A limit is in seconds in which the test gets a processor."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.limited import limited


async def test_what_comes_in_time_is_not_limited() -> None:
    async with limited(0.2):
        await asyncio.sleep(0.05)


async def test_what_does_not_come_is_given_up() -> None:
    with pytest.raises(TimeoutError):
        async with limited(0.05):
            await asyncio.Event().wait()


async def test_time_without_a_processor_counts_a_tenth() -> None:
    async with limited(0.3):
        await asyncio.sleep(0.02)
        time.sleep(0.6)  # noqa: ASYNC251 - as if the machine did something else
        await asyncio.sleep(0.02)


async def test_but_it_counts() -> None:
    async def waits() -> None:
        async with limited(0.06):
            await asyncio.sleep(0)
            time.sleep(0.7)  # noqa: ASYNC251
            await asyncio.sleep(0.02)

    with pytest.raises(TimeoutError):
        await waits()


async def test_a_limit_that_is_over_leaves_no_task_and_ends_nothing_later() -> None:
    before = asyncio.all_tasks()
    async with limited(0.02):
        assert asyncio.all_tasks() == before
    await asyncio.sleep(0.05)
