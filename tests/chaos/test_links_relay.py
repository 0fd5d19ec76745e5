"""Relays on links that break: nothing is appended twice, nothing is lost, and the other one goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from domain.envelope import Envelope
from domain.users.events import UserId
from readside.redis_functions.keys import Partition
from tests.chaos.parts import Parts, Wires, parts, weathered, wires
from tests.domain.log.relay_harness import settle, user_in, write
from tests.domain.write_model import PARTITIONS
from tests.limited import limited


@pytest.fixture
async def ways(database_url: str, redis_url: str) -> AsyncIterator[Wires]:
    async with wires(database_url, redis_url) as ways:
        yield ways


@pytest.fixture
async def here(ways: Wires) -> AsyncIterator[Parts]:
    """A relay behind the proxies, whose streams have begun."""
    async with parts(ways.settings(), ways.straight) as here:
        await settle(here.relay)
        yield here
        ways.heal()  # or saying goodbye would take its time


@pytest.fixture
async def other(ways: Wires) -> AsyncIterator[Parts]:
    """A relay on straight ways."""
    async with parts(ways.straight, ways.straight) as other:
        yield other


async def all_is_carried(other: Parts) -> None:
    """The streams hold the log: everything once, each user's events in their order."""
    rows = await other.model.rows("select user_id, version from events order by user_id, version")
    carried = await streams(other)
    assert sorted(carried) == [(row["user_id"], row["version"]) for row in rows]
    for user_id in {user_id for user_id, _ in carried}:
        versions = [version for user, version in carried if user == user_id]
        assert versions == list(range(1, len(versions) + 1))


async def streams(other: Parts) -> list[tuple[UUID, int]]:
    """User and version of every entry. No projector is at work here, so nothing is trimmed."""
    found = []
    async with Redis.from_url(str(other.straight.redis_url)) as redis:
        for partition in range(PARTITIONS):
            entries: Any = await redis.xrange(Partition(partition).stream)
            for _, fields in entries:
                envelope = msgspec.json.decode(fields[b"e"], type=Envelope)
                found.append((envelope.aggregate_id, envelope.version))
    return found


async def happen(other: Parts, *users: UserId, version: int) -> None:
    for user_id in users:
        await write(other.model.pool, user_id, version)


async def test_an_append_whose_answer_was_lost_is_not_repeated_and_the_other_relay_goes_on(
    ways: Wires, here: Parts, other: Parts
) -> None:
    users = [user_in(3), user_in(4)]
    await happen(other, *users, version=1)
    lost = ways.redis.swallow_next("FCALL append_")
    with pytest.raises(RedisConnectionError):
        await here.relay.run_once()
    assert lost.fired.is_set()
    await all_is_carried(other)
    await happen(other, *users, version=2)
    await settle(other.relay)
    await all_is_carried(other)
    await happen(other, *users, version=3)
    await settle(here.relay)
    await all_is_carried(other)


async def test_a_relay_that_waits_for_its_answer_holds_up_nobody(
    ways: Wires, here: Parts, other: Parts
) -> None:
    user_id = user_in(3)
    await happen(other, user_id, version=1)
    held = ways.redis.hold_next("FCALL append_")
    waiting = asyncio.create_task(here.relay.run_once())
    await held.reached
    await happen(other, user_id, version=2)
    await settle(other.relay)
    assert not waiting.done()
    held.release()
    await waiting
    await happen(other, user_id, version=3)
    await settle(here.relay)
    await settle(other.relay)
    await all_is_carried(other)


async def test_an_append_that_arrives_after_that_of_another_relay_appends_nothing(
    ways: Wires, here: Parts, other: Parts
) -> None:
    user_id = user_in(3)
    await settle(other.relay)
    await happen(other, user_id, version=1)
    read = ways.postgres.hold_next("pg_current_snapshot")
    late = asyncio.create_task(here.relay.run_once())
    await read.reached
    ways.redis.blackhole()
    ways.redis.asked.clear()
    read.release()
    await settle(other.relay)
    await happen(other, user_id, version=2)
    await settle(other.relay)
    ways.redis.flow()
    assert await late, "it lost the comparison, so there is more to do"
    assert ways.redis.asked.total() == 1
    await settle(here.relay)
    await all_is_carried(other)


async def test_a_relay_whose_link_to_the_log_is_half_open_gives_up_and_goes_on(
    ways: Wires, other: Parts
) -> None:
    async with parts(ways.settings(command_timeout=0.5), ways.straight) as here:
        user_id = user_in(3)
        await settle(other.relay)
        await weathered(here.relay.run_once)
        await happen(other, user_id, version=1)
        ways.postgres.half_open()
        with pytest.raises(TimeoutError):
            await here.relay.run_once()
        await happen(other, user_id, version=2)
        await until_it_is_carried(here, user_id, 2)
        await all_is_carried(other)


async def until_it_is_carried(here: Parts, user_id: UserId, version: int) -> None:
    async with limited(10):
        while (user_id, version) not in await streams(here):
            await weathered(here.relay.run_once)


@pytest.mark.parametrize("seed", range(4))
async def test_on_links_cut_at_any_byte_everything_is_carried_once(
    ways: Wires, here: Parts, other: Parts, seed: int
) -> None:
    random = Random(seed)
    users = [user_in(partition) for partition in (0, 3, 3, 7)]
    for version in range(1, 30):
        await happen(other, *users, version=version)
        wire = random.choice([ways.postgres, ways.redis])
        wire.cut_after(random.randrange(1500), random.choice(["requests", "answers"]))
        await asyncio.gather(*map(weathered, [here.relay.run_once, other.relay.run_once]))
    ways.heal()
    await settle(here.relay)
    await settle(other.relay)
    await all_is_carried(other)
