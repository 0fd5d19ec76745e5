"""Any number of projector processes share the partitions, and take over from each other in time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from tests import forked
from tests.limited import limited
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.forked import Member

WITHIN = 5.0
"""Seconds in which partitions move."""


class Projectors:
    """Processes, and who of them works on what."""

    def __init__(
        self, redis: Redis, stack: AsyncExitStack, urls: dict[str, str], place: Path
    ) -> None:
        self._redis, self._stack, self._urls, self._place = redis, stack, urls, place

    async def start(self, number: int = 1) -> list[Member]:
        return [
            await self._stack.enter_async_context(
                forked.running("projector", env=self._urls, log=self._place / "log")
            )
            for _ in range(number)
        ]

    async def shares(self) -> list[int]:
        """How many partitions each process works on, those that have none aside."""
        names = [key async for key in self._redis.scan_iter(match="tandem:*:owner:*", count=1000)]
        owners: Any = await self._redis.mget(names) if names else []
        return sorted(Counter(owner for owner in owners if owner).values())

    async def come_to(self, *shares: int, within: float = WITHIN) -> None:
        """Waits until they share like this."""
        found: list[int] = []
        try:
            async with limited(within):
                while (found := await self.shares()) != sorted(shares):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{found} instead of {shares}") from None


@pytest.fixture
async def projectors(
    database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Projectors]:
    urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PARTITIONS": str(PARTITIONS)}
    async with (
        AsyncExitStack() as stack,
        Redis.from_url(redis_url, decode_responses=True) as redis,
        forked.running("relay", env=urls, log=tmp_path / "relay"),
    ):
        yield Projectors(redis, stack, urls, tmp_path)


async def test_three_share_evenly_and_go_on_so_when_one_is_killed_and_another_comes(
    projectors: Projectors,
) -> None:
    three = await projectors.start(3)
    await projectors.come_to(3, 3, 2, within=30)  # they have to start first
    three[0].kill()
    await three[0].wait()
    await projectors.come_to(4, 4)
    await projectors.start()
    await projectors.come_to(3, 3, 2, within=30)


async def test_a_stopped_projector_leaves_its_partitions_to_the_other_immediately(
    projectors: Projectors,
) -> None:
    two = await projectors.start(2)
    await projectors.come_to(4, 4, within=30)
    two[0].terminate()
    await two[0].wait()
    await projectors.come_to(8)


async def test_an_even_assignment_is_stable(projectors: Projectors) -> None:
    """No partition goes back and forth: once shared, the owners are the same from then on."""
    await projectors.start(3)
    await projectors.come_to(3, 3, 2, within=30)
    for _ in range(40):
        assert await projectors.shares() == [2, 3, 3]
        await asyncio.sleep(0.05)
