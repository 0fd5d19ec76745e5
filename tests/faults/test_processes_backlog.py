"""The relay and the projectors were away, and a long log waits for them: they carry it in flat memory.

BACKLOG=1000000 makes the test as long as it shall be nightly.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from tests.benchmarks import history
from tests.faults.evidence import behind
from tests.faults.members import Member, Programs
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
    """A relay and projectors that stand still while a backlog is written."""

    def __init__(self, members: list[Member], database_url: str, redis_url: str) -> None:
        self._members = members
        self._urls = database_url, redis_url

    async def caught_up(self, events: int) -> None:
        async with asyncio.timeout(30 + events / PACE):
            while await behind(*self._urls, PARTITIONS) is not None:
                await asyncio.sleep(0.1)

    async def carry(self, events: int) -> dict[str, int]:
        """The peaks of memory once so many events that were written in one go are in the read model."""
        for member in self._members:
            member.pause()
            await member.stands_still()
        connection = await asyncpg.connect(self._urls[0])
        try:
            await history.write(connection, events)
        finally:
            await connection.close()
        for member in self._members:
            member.resume()
        await self.caught_up(events)
        assert all(member.running for member in self._members)
        return {member.name: peak(member) for member in self._members}


async def users(redis_url: str) -> dict[str, int]:
    """How many users each generation knows that there is, by the key that says so."""
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        names = [key async for key in redis.scan_iter(match="tandem:*:users", count=10_000)]
        return {name: await redis.zcard(name) for name in names}


@pytest.mark.timeout(60 + BACKLOG / 500)
async def test_a_backlog_is_carried_in_flat_memory(
    started: Programs, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PARTITIONS": str(PARTITIONS),
    }
    async with AsyncExitStack() as stack:
        members = []
        for role in ("relay", "projector"):
            member = started.start(role, [role], environment, tmp_path / f"{role}.log")
            stack.callback(member.kill)
            members.append(member)
        roles = Roles(members, database_url, redis_url)
        await roles.caught_up(0)
        before = await roles.carry(FIRST)
        serving = await users(redis_url)
        after = await roles.carry(BACKLOG)
        grown = {name: after[name] - before[name] for name in after}
        assert all(bytes_ < MAY_GROW for bytes_ in grown.values()), grown
        known = await users(redis_url)
        assert known.keys() == serving.keys()  # carried, and not made anew from the log
        assert sum(known.values()) == (FIRST + BACKLOG) // history.EACH
    for member in members:
        await member.ended()
