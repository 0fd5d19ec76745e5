"""The whole chain on links that break: the read model comes to be the log, and counts nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.command import Command
from domain.envelope import partition_of
from domain.ids import new_id
from domain.users.commands.complete_order import CompleteOrder
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.rename_user import RenameUser
from domain.users.events import OrderId, UserId
from domain.write.database import WriteModelUnavailable
from readside.projections import users
from readside.projector.projector import Projector
from readside.redis_functions.keys import Partition
from tests.chaos.evidence import fingerprint
from tests.chaos.link import Link
from tests.chaos.model import kept
from tests.chaos.parts import Parts, Wires, parts, wires
from tests.chaos.proxy import Fault, Proxy
from tests.domain.write_model import PARTITIONS, create
from tests.limited import limited


@pytest.fixture
async def ways(database_url: str, redis_url: str) -> AsyncIterator[Wires]:
    async with wires(database_url, redis_url) as ways:
        yield ways


@pytest.fixture
async def here(ways: Wires) -> AsyncIterator[Parts]:
    """Behind the proxies, with a read model that serves."""
    async with parts(ways.settings(), ways.straight) as here:
        await here.arrive()
        yield here
        ways.heal()  # or saying goodbye would take its time


@pytest.fixture
async def other(ways: Wires) -> AsyncIterator[Parts]:
    """Another process, on straight ways."""
    async with parts(ways.straight, ways.straight) as other:
        yield other


async def customer(here: Parts) -> UserId:
    """Somebody who has bought something, as the stream has it but not yet the read model."""
    user_id = await here.model.user()
    await here.arrive()
    await here.model.ask(CompleteOrder(order_id=await here.model.order(user_id)))
    await here.relay.run_once()
    return user_id


async def is_counted_once(here: Parts, user_id: UserId) -> None:
    """By now: a read model that is found to be wrong would be made anew by the next passes."""
    row = await users.fetch(here.reads, user_id)
    assert row is not None
    assert (row.version, row.order_count, row.lifetime_value) == (3, 1, 1250)


def projector_of(here: Parts, user_id: UserId) -> Projector:
    return here.projectors[partition_of(user_id, PARTITIONS)]


async def free(ways: Wires, user_id: UserId) -> None:
    """As if the lease on the user's partition had run out."""
    partition = Partition(partition_of(user_id, PARTITIONS))
    async with Redis.from_url(str(ways.straight.redis_url)) as redis:
        assert await redis.delete(partition.lease(fingerprint(PARTITIONS)))


async def test_an_event_whose_application_was_not_heard_of_is_counted_once(
    ways: Wires, here: Parts
) -> None:
    user_id = await customer(here)
    lost = ways.redis.swallow_next("FCALL apply_")
    with pytest.raises(RedisError):
        await projector_of(here, user_id).run_once()
    assert lost.fired.is_set()
    await projector_of(here, user_id).run_once()
    await is_counted_once(here, user_id)
    await here.arrive()


async def test_events_that_were_read_and_lost_on_the_way_are_read_again(
    ways: Wires, here: Parts
) -> None:
    user_id = await customer(here)
    lost = ways.redis.truncate_next("XREADGROUP")
    with pytest.raises(RedisError):
        await projector_of(here, user_id).run_once()
    assert lost.fired.is_set()
    await projector_of(here, user_id).run_once()
    await is_counted_once(here, user_id)
    await here.arrive()


async def test_an_application_that_arrives_after_that_of_another_projector_changes_nothing(
    ways: Wires, here: Parts, other: Parts
) -> None:
    user_id = await customer(here)
    silent = silence_behind_the_entries(ways.redis)
    late = asyncio.create_task(here.go())
    await silent.wait()
    ways.redis.asked.clear()
    await free(ways, user_id)
    await other.arrive()
    ways.redis.flow()
    await late
    async with limited(10):
        while not any(asked.startswith("FCALL apply_") for asked in ways.redis.asked):
            await asyncio.sleep(0)
    await is_counted_once(other, user_id)
    await other.arrive()


async def test_an_application_that_never_arrives_is_made_again(ways: Wires, here: Parts) -> None:
    user_id = await customer(here)
    silent = silence_behind_the_entries(ways.redis)
    lost = asyncio.create_task(here.go())
    await silent.wait()
    ways.redis.flow(drop=True)
    await lost
    await projector_of(here, user_id).run_once()
    await is_counted_once(here, user_id)
    await here.arrive()


def silence_behind_the_entries(wire: Proxy) -> asyncio.Event:
    """The entries arrive, but nothing that is asked because of them."""
    silent = asyncio.Event()

    def arrives(link: Link, answer: bytes) -> None:
        link.deliver(answer)
        if b"OrderPlaced" in answer:
            wire.blackhole()
            silent.set()
        else:
            wire.arm(Fault("XREADGROUP", arrives))

    wire.arm(Fault("XREADGROUP", arrives))
    return silent


@pytest.mark.parametrize("seed", range(4))
async def test_on_links_cut_at_any_byte_every_key_is_one_event_and_the_read_model_is_the_log(
    ways: Wires, here: Parts, seed: int
) -> None:
    random = Random(seed)
    answers: dict[str, UserId] = {}
    for number in range(25):
        for wire in (ways.postgres, ways.redis):
            wire.cut_after(random.randrange(3000), random.choice(["requests", "answers"]))
        known = list(answers.values())
        await asyncio.gather(
            *(
                persistently(here, answers, f"{number} {one}", random.choice([None, *known]))
                for one in range(4)
            ),
            here.go(),
        )
    ways.heal()
    await here.arrive()
    keys = await here.model.rows(
        "select encode(c.key, 'hex') as key from commands c join events e using (user_id, version)"
    )
    assert sorted(row["key"] for row in keys) == sorted(map(kept, answers))
    assert await here.model.count("events") == len(answers)


async def persistently(
    here: Parts, answers: dict[str, UserId], key: str, user_id: UserId | None
) -> None:
    """As a client that asks until it is answered, and reads what it wrote."""
    async with limited(10):
        while key not in answers:
            try:
                answers[key] = UserId((await here.model.ask(_wanted(key, user_id))).aggregate_id)
            except WriteModelUnavailable:
                await asyncio.sleep(0)


def _wanted(key: str, user_id: UserId | None) -> Command:
    """The same for the same key, but for ids that are made anew."""
    if user_id is None:
        return create(key, f"{key.replace(' ', '-')}@example.com", key=key)
    if key.endswith(("0", "2")):
        return RenameUser(user_id=user_id, name=key, idempotency_key=key)
    return PlaceOrder(user_id=user_id, order_id=OrderId(new_id()), total=1, idempotency_key=key)


@pytest.mark.parametrize("seed", range(3))
async def test_a_read_model_that_is_built_on_links_cut_at_any_byte_is_the_log(
    ways: Wires, here: Parts, seed: int
) -> None:
    random = Random(seed)
    for number in range(12):
        await here.model.user(f"{number}", f"{number}@example.com")
    async with Redis.from_url(str(ways.straight.redis_url)) as redis:
        await redis.flushall()
        await redis.function_flush()
    for _ in range(25):
        for wire in (ways.postgres, ways.redis):
            wire.cut_after(random.randrange(4000), random.choice(["requests", "answers"]))
        await here.go()
    ways.heal()
    await here.arrive()


async def test_while_one_user_s_application_is_held_other_partitions_go_on(
    ways: Wires, here: Parts
) -> None:
    user_id = await customer(here)
    held = ways.redis.hold_next("FCALL apply_")
    stuck = asyncio.create_task(projector_of(here, user_id).run_once())
    await held.reached
    number = 0
    while partition_of(user_id, PARTITIONS) == partition_of(
        neighbour := await here.model.user("N", f"n{(number := number + 1)}@example.com"),
        PARTITIONS,
    ):
        pass
    await here.relay.run_once()
    await projector_of(here, neighbour).run_once()
    assert await users.fetch(here.reads, neighbour, min_version=1)
    assert not stuck.done()
    held.release()
    await stuck
    await is_counted_once(here, user_id)
    await here.arrive()
