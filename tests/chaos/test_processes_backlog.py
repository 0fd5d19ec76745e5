"""The relay and the projectors were away, and a long log waits for them: they carry it in flat memory.

BACKLOG=1000000 makes the test as long as it shall be nightly.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from readside.redis_functions.keys import Partition
from tests.benchmarks import history
from tests.chaos.evidence import behind
from tests.forked import Member, start
from tests.limited import limited
from tests.stores import PARTITIONS

FIRST = 10_000
"""Events that bring everything to the size that it needs for a backlog of any length."""

BACKLOG = int(os.environ.get("BACKLOG", "100000"))

MAY_GROW = 10 * 1024 * 1024
"""Bytes that the peak of a process may grow by over the long backlog, whose events have ten times as many."""

PACE = 1_000
"""Events a second at the very least, on a machine that is busy with other tests."""


def peak(member: Member) -> int:
    """The most memory that the process has ever had, in bytes."""
    status = Path(f"/proc/{member.pid}/status").read_text()
    [kilobytes] = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kilobytes) * 1024


class Roles:
    """A relay and projectors as processes, that stand still while a backlog is written."""

    def __init__(self, place: Path, database_url: str, redis_url: str) -> None:
        self._place = place
        self._environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PARTITIONS": str(PARTITIONS),
        }
        self._urls = database_url, redis_url
        self.members = {role: self._start(role) for role in ("relay", "projector")}

    def _start(self, role: str, failpoints: str = "") -> Member:
        environment = {**self._environment, "FAILPOINTS": failpoints}
        return start(role, [role], environment, self._place / f"{role}.log")

    async def kill(self, role: str) -> None:
        self.members[role].kill()
        await self.members[role].ended()

    async def restart(self, role: str, failpoints: str = "") -> None:
        await self.kill(role)
        self.members[role] = self._start(role, failpoints)

    async def caught_up(self, events: int) -> None:
        async with asyncio.timeout(30 + events / PACE):
            while await behind(*self._urls, PARTITIONS) is not None:
                await asyncio.sleep(0.1)

    async def write(self, events: int) -> None:
        """So many in one go."""
        connection = await asyncpg.connect(self._urls[0])
        try:
            await history.write(connection, events)
        finally:
            await connection.close()

    async def carry(self, events: int) -> dict[str, int]:
        """The peaks of memory once so many events that were written in one go are in the read model."""
        for member in self.members.values():
            member.pause()
            await member.stands_still()
        await self.write(events)
        for member in self.members.values():
            member.resume()
        await self.caught_up(events)
        return {member.name: peak(member) for member in self.members.values()}


@pytest.fixture
async def roles(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Roles]:
    """Whose streams have begun, and whose read model serves."""
    roles = Roles(tmp_path, database_url, redis_url)
    try:
        await roles.caught_up(0)
        yield roles
    finally:
        for role in roles.members:
            await roles.kill(role)


async def users(redis_url: str) -> dict[str, int]:
    """How many users each generation knows that there is, by the key that says so."""
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        names = [key async for key in redis.scan_iter(match="tandem:*:users", count=10_000)]
        return {name: await redis.zcard(name) for name in names}


@pytest.mark.timeout(60 + BACKLOG / 500)
async def test_a_backlog_is_carried_in_flat_memory(roles: Roles, redis_url: str) -> None:
    before = await roles.carry(FIRST)
    serving = await users(redis_url)
    after = await roles.carry(BACKLOG)
    grown = {name: after[name] - before[name] for name in after}
    assert all(bytes_ < MAY_GROW for bytes_ in grown.values()), grown
    known = await users(redis_url)
    assert known.keys() == serving.keys()  # carried, and not made anew from the log
    assert sum(known.values()) == (FIRST + BACKLOG) // history.EACH


@pytest.mark.parametrize("point", ["relay.read_page", "relay.appended"])
async def test_a_relay_that_dies_within_a_backlog_is_followed_by_one_that_goes_on_there(
    roles: Roles, redis_url: str, point: str
) -> None:
    await roles.kill("relay")
    await roles.write(FIRST)
    for passage in (2, 7):
        await roles.restart("relay", f"{point}=kill@{passage}")
        async with limited(30):
            await roles.members["relay"].ended()
    await roles.restart("relay")
    await roles.caught_up(FIRST)
    assert sum((await users(redis_url)).values()) == FIRST // history.EACH
    assert await entries(redis_url) == FIRST


async def entries(redis_url: str) -> int:
    """How many were ever added to the streams."""
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        streams = [await redis.xinfo_stream(Partition(n).stream) for n in range(PARTITIONS)]
    return sum(int(stream["entries-added"]) for stream in streams)
