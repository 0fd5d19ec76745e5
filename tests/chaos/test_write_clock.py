"""The wall clock is an hour off, and goes backwards: order is by version, and what is shown is the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis

import api.runtime.api_role
import domain.ids
import readside.generations.registry
from api.settings import Settings
from readside.redis_functions.keys import Partition
from tests.acceptance.service import Client, running
from tests.chaos.convergence import as_the_log
from tests.chaos.evidence import Evidence
from tests.limited import limited
from tests.stores import PARTITIONS

HOUR = timedelta(hours=1)
RENAME = (
    "mutation($input: RenameUserInput!) { renameUser(input: $input) { version user { name } } }"
)
CREATE = "mutation($input: CreateUserInput!) { createUser(input: $input) { id } }"
USERS = """
    query($after: String) { users(first: 7, after: $after) {
        totalCount nodes { id createdAt } pageInfo { hasNextPage endCursor } } }
"""


class Clock:
    """The wall clock of this process, as far off as a test says. The monotonic one goes as it goes."""

    def __init__(self) -> None:
        self.off = timedelta()

    def now(self, zone: tzinfo) -> datetime:
        return datetime.now(zone) + self.off

    def time_ns(self) -> int:
        return int(self.now(UTC).timestamp() * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(api.runtime.api_role, "datetime", clock)
    for module in (domain.ids, readside.generations.registry):
        monkeypatch.setattr(module, "time", SimpleNamespace(time_ns=clock.time_ns))
    return clock


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=database_url, redis_url=redis_url, partitions=PARTITIONS, read_timeout=5.0
    )


def backwards(step: int) -> timedelta:
    return -step * HOUR


def to_and_fro(step: int) -> timedelta:
    return HOUR if step % 2 else -HOUR


def anywhere(step: int) -> timedelta:
    return Random(step).uniform(-1, 1) * HOUR


@pytest.mark.parametrize("off", [backwards, to_and_fro, anywhere])
async def test_a_clock_that_jumps_changes_no_order_and_loses_nobody(
    settings: Settings, clock: Clock, off: Callable[[int], timedelta]
) -> None:
    made = []
    async with running(settings) as client:
        for step in range(12):
            clock.off = off(step)
            made.append(await client.create_user(f"User {step}", f"user{step}@example.com"))
            for user_id in made:
                name = f"in step {step}"
                renamed = await client.data(RENAME, input={"userId": user_id, "name": name})
                assert renamed["renameUser"]["user"] == {"name": name}
            await client.complete_order(await client.place_order(made[0]))
        evidence = await as_the_log(settings)
        assert sorted(await everybody(client)) == sorted(made)
    of_first = [event for event in evidence.events if event.user == made[0]]
    assert [event.version for event in of_first] == list(range(1, len(of_first) + 1))
    times = [event.at for event in of_first]
    assert times != sorted(times)  # or the clock has not gone back


async def everybody(client: Client) -> list[str]:
    """Over pages, newest first by the clock that their ids were made with."""
    found: list[str] = []
    page: dict[str, Any] = {"hasNextPage": True, "endCursor": None}
    while page["hasNextPage"]:
        users = (await client.data(USERS, after=page["endCursor"]))["users"]
        found += [node["id"] for node in users["nodes"]]
        page = users["pageInfo"]
    assert users["totalCount"] == len(found)
    return found


async def test_a_generation_whose_name_is_older_than_its_predecessor_s_serves_all_the_same(
    settings: Settings, clock: Clock
) -> None:
    async with running(settings) as client:
        made = [await client.create_user(f"User {n}", f"user{n}@example.com") for n in range(12)]
        before = serving(await as_the_log(settings))
        for off in (-HOUR, -2 * HOUR, HOUR, -HOUR):
            clock.off = off
            async with Redis.from_url(str(settings.redis_url)) as redis:
                await redis.delete(*[Partition(n).cursor for n in range(PARTITIONS)])
            given = {"name": "U", "email": f"user{len(made)}@example.com"}
            made.append((await client.data(CREATE, input=given))["createUser"]["id"])
            before = await all_other(settings, before, older=off != HOUR)
        assert sorted(await everybody(client)) == sorted(made)


def serving(evidence: Evidence) -> list[str]:
    """The generation of each partition."""
    found = [evidence.serving(partition) for partition in range(PARTITIONS)]
    return [keys.generation for keys in found if keys is not None]


async def all_other(settings: Settings, before: list[str], *, older: bool) -> list[str]:
    """The generations once each is another, and is the log."""
    async with limited(20):
        while set(now := serving(await as_the_log(settings))) & set(before):
            await asyncio.sleep(0.05)
    assert (max(now) < min(before)) is older
    return now


def test_ids_are_new_though_the_clock_goes_back(clock: Clock) -> None:
    ids = set()
    for step in range(2000):
        clock.off = backwards(step % 3)
        ids.add(domain.ids.new_id())
    assert len(ids) == 2000
