"""A transaction stays open below later commits for longer than any time limit: nobody waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from api.settings import Settings
from domain.command import CommandResult
from tests.acceptance.service import Client, running
from tests.chaos.convergence import as_the_log
from tests.chaos.writers import Hold, held_commits, write_models
from tests.domain.write_model import WriteModel, create
from tests.limited import limited
from tests.stores import PARTITIONS

LIMIT = 1.0
"""Seconds of every time limit of the service."""

CREATE = "mutation($input: CreateUserInput!) { createUser(input: $input) { id } }"
USER = "query($id: ID!, $v: Int) { user(id: $id, minVersion: $v) { name } }"


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        partitions=PARTITIONS,
        command_timeout=LIMIT,
        read_timeout=LIMIT,
    )


@pytest.fixture
async def slow(database_url: str) -> AsyncIterator[WriteModel]:
    """A process that is in no hurry."""
    async with write_models(database_url, 1, seconds=60) as [model]:
        yield model


@pytest.fixture
async def hold(database_url: str) -> AsyncIterator[Hold]:
    async with held_commits(database_url, "new.data ->> 'name' = 'Late'") as hold:
        yield hold


async def others_flow(client: Client, name: str, seconds: float) -> int:
    """Creates users for so long, each of whom is read at once; how many."""
    began, number = time.monotonic(), 0
    while time.monotonic() - began < seconds or number < 3 * PARTITIONS:
        given = {"name": name, "email": f"{name}{number}@example.com"}
        created = await client.data(CREATE, input=given)
        async with limited(20):
            while "errors" in await client.send(USER, id=created["createUser"]["id"], v=1):
                pass  # the read itself has waited
        number += 1
    return number


@pytest.mark.parametrize("meanwhile", ["nothing", "a restart", "an emptied Redis"])
async def test_others_flow_and_it_is_carried_when_it_commits_at_last(
    settings: Settings, slow: WriteModel, hold: Hold, meanwhile: str
) -> None:
    async with running(settings) as client:
        late = asyncio.create_task(slow.ask(create("Late", "late@example.com")))
        await hold.reached()
        count = await others_flow(client, "other", 2 * LIMIT)
        if meanwhile == "an emptied Redis":
            async with Redis.from_url(str(settings.redis_url)) as redis:
                await redis.flushall()
            await client.until_built()
        if meanwhile == "nothing":
            await released(settings, client, hold, late, count)
    if meanwhile != "nothing":
        async with running(settings) as client:
            count += await others_flow(client, "another", LIMIT)
            await released(settings, client, hold, late, count)


async def released(
    settings: Settings, client: Client, hold: Hold, late: asyncio.Task[CommandResult], count: int
) -> None:
    """It was open all the time, and is the first in the log and the last to be seen."""
    assert not late.done()
    assert len((await as_the_log(settings)).users) == count
    await hold.release()
    answer = await late
    evidence = await as_the_log(settings)
    assert len(evidence.users) == count + 1
    user = await client.data(USER, id=str(answer.id), v=1)
    assert user == {"user": {"name": "Late"}}
    positions = await hold.positions()
    assert positions.index(answer.aggregate_id) == 0
