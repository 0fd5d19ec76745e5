"""What is still under way is said in one phrase, and everything there is is found."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from api.roles import Role
from api.settings import Settings
from domain.log.cursor import Cursor
from readside.redis_functions.keys import Partition
from tests.acceptance.service import Client, running
from tests.chaos.evidence import CHUNK, behind, gather
from tests.limited import limited
from tests.stores import PARTITIONS

WRITING = frozenset({Role.API})
CARRYING = frozenset({Role.API, Role.RELAY})


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, partitions=PARTITIONS)


async def says(settings: Settings, phrase: str) -> None:
    """Waits until this is what there is still to do; '' is nothing."""
    urls = str(settings.database_url), str(settings.redis_url)
    async with limited(20):
        while phrase not in (found := await behind(*urls, PARTITIONS) or "") or (
            found and not phrase
        ):
            await asyncio.sleep(0.01)


async def create(client: Client, *numbers: int) -> None:
    for number in numbers:
        data = await client.data(
            "mutation($input: CreateUserInput!) { createUser(input: $input) { id } }",
            input={"name": f"User {number}", "email": f"user{number}@example.com"},
        )
        assert data["createUser"]["id"]


async def test_each_step_that_is_left_is_told(settings: Settings) -> None:
    async with running(settings, WRITING) as client:
        await says(settings, "partition 0: there is no cursor")
        await create(client, 1)
    async with running(settings, CARRYING):
        await says(settings, "partition 0: nothing serves")
    async with running(settings):
        await says(settings, "")
    async with running(settings, WRITING) as client:
        await create(client, 2)
        await says(settings, ": 1 events are not in the stream")
    async with running(settings, CARRYING):
        await says(settings, "entries of the stream are not applied")
    async with running(settings):
        await says(settings, "")


async def test_without_its_group_the_read_model_has_not_arrived(settings: Settings) -> None:
    async with running(settings):
        await says(settings, "")
    stream = Partition(3).stream
    async with Redis.from_url(str(settings.redis_url), decode_responses=True) as redis:
        [group] = await redis.xinfo_groups(stream)
        await redis.xgroup_destroy(stream, group["name"])
        await says(settings, "partition 3: the serving generation has no group")
        await redis.delete(stream)
        await says(settings, "partition 3: the serving generation has no group")


async def test_numbers_given_back_by_a_crash_do_not_pass_for_carried(settings: Settings) -> None:
    """The snapshots say that far more was seen than the server has come to."""
    async with running(settings) as client:
        await create(client, 1)
        await says(settings, "")
    async with Redis.from_url(str(settings.redis_url)) as redis:
        for number in range(PARTITIONS):
            raw: Any = await redis.get(Partition(number).cursor)
            cursor = Cursor.decode(raw)
            text = cursor.encode().replace(
                f'"xmax":{cursor.snapshot.xmax},'.encode(),
                f'"xmax":{cursor.snapshot.xmax + 1000},'.encode(),
                1,
            )
            assert text != raw
            await redis.set(Partition(number).cursor, text)
    await says(settings, "")
    async with running(settings, WRITING) as client:
        await create(client, 2)
    await says(settings, ": 1 events are not in the stream")


async def test_every_key_is_found_however_many_there_are(settings: Settings) -> None:
    names = {f"tandem:{{0}}:1a2-beef:user:{number}" for number in range(CHUNK + 10)}
    async with Redis.from_url(str(settings.redis_url)) as redis:
        pipeline = redis.pipeline(transaction=False)
        for name in names:
            pipeline.hset(name, "version", "1")
        pipeline.set("another:key", "1")
        await pipeline.execute()
    evidence = await gather(str(settings.database_url), str(settings.redis_url), PARTITIONS)
    assert evidence.keys == {name: {"version": "1"} for name in names}
