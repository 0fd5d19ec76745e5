"""The projector: whatever dies, is emptied or deleted, every event has its effect once."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from domain.users.events import OrderPlaced, UserCreated
from readside.projection_set import FINGERPRINT
from readside.projector import lease as leasing
from readside.projector import projector as projecting
from readside.redis_functions.keys import Partition
from tests.limited import limited
from tests.readside.contents import contents, eventually
from tests.readside.envelopes import order, story, user_in
from tests.readside.harness import World

ALICE, BOB = user_in(0, 0), user_in(0, 1)
CREATED = UserCreated(name="Alice", email="alice@example.com")


def placed(number: int) -> OrderPlaced:
    return OrderPlaced(order_id=order(number), total=number)


async def test_committed_events_are_applied_and_acknowledged(world: World) -> None:
    async with world.projector() as projector:
        await world.settle(projector)
        world.commit(ALICE, CREATED, placed(1))
        await world.settle(projector)
        assert (await world.hash_of(ALICE))["orderCount"] == "1"
        assert await world.pending() == 0


async def test_a_waiting_projector_is_woken_by_an_event(world: World) -> None:
    async with world.projector() as projector:
        await world.settle(projector)
        waiting = asyncio.create_task(projector.run_once(wait=4.0))

        async def blocked() -> bool:
            return any("b" in client["flags"] for client in await world.redis.client_list())

        await eventually(blocked)
        world.commit(ALICE, CREATED)
        await world.relay()
        async with limited(2):
            assert await waiting == 1
    assert await world.version_of(ALICE) == 1


async def test_entries_read_by_a_dead_projector_are_applied_by_the_next(world: World) -> None:
    async with world.projector() as first:
        await world.settle(first)
        world.commit(ALICE, CREATED, placed(1))
        await world.relay()
        assert await world.read_and_die() == 2
    async with world.projector() as second:
        await world.settle(second)
        assert (await world.hash_of(ALICE))["orderCount"] == "1"
        assert await world.pending() == 0


async def test_entries_read_after_the_lease_was_lost_are_applied_by_the_new_owner(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "LEASE_SECONDS", 0.2)
    async with world.projector() as owner:
        await world.settle(owner)
        world.commit(ALICE, CREATED)
        await world.relay()
        assert await world.read_and_die() == 1

        async def found() -> bool:
            await owner.run_once()
            return await world.version_of(ALICE) == 1

        await eventually(found)
        assert await world.pending() == 0


async def test_entries_read_by_an_interrupted_pass_are_applied_by_the_next_pass(
    world: World,
) -> None:
    async with world.projector() as projector:
        await world.settle(projector)
        world.commit(ALICE, CREATED, placed(1))
        early = story(ALICE, CREATED, placed(1))[1]  # the log is needed for the one before it
        await world.redis.xadd(Partition(0).stream, {"e": msgspec.json.encode(early)})
        world.log.away = True
        with pytest.raises(ConnectionError):
            await projector.run_once()
        world.log.away = False
        await world.settle(projector)
        assert (await world.hash_of(ALICE))["orderCount"] == "1"
        assert await world.pending() == 0


async def test_two_concurrent_projectors_do_no_harm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.build()

    async def always() -> bool:
        return True

    both = [world.projector(), world.projector()]
    for projector in both:
        monkeypatch.setattr(projector, "_holds_lease", always)
    for number in range(40):
        for user in (ALICE, BOB):
            world.commit(user, CREATED if number == 0 else placed(number))
        if number % 5 == 0:
            await world.relay()
            await asyncio.gather(*(projector.run_once() for projector in both))
    await world.settle(*both)
    for user in (ALICE, BOB):
        assert await world.version_of(user) == 40
        assert (await world.hash_of(user))["orderCount"] == "39"
    assert await world.pending() == 0
    keys = await world.serving()
    assert keys is not None
    assert (await contents(world.redis, keys))["counters"] == {"applied": "80"}


async def test_two_projectors_that_take_over_together_agree_on_the_generation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def always() -> bool:
        return True

    world.commit(ALICE, CREATED, placed(1))
    await world.relay()
    both = [world.projector(), world.projector()]
    for projector in both:
        monkeypatch.setattr(projector, "_holds_lease", always)
    await asyncio.gather(*(projector.run_once() for projector in both))
    world.commit(ALICE, placed(2))
    await world.settle(*both)
    assert (await world.hash_of(ALICE))["orderCount"] == "2"


async def test_of_two_concurrent_rebuilds_the_later_one_uses_the_active_generation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def always() -> bool:
        return True

    monkeypatch.setattr(projecting, "_RESYNC_INTERVAL_SECONDS", 0.0)
    world.commit(ALICE, CREATED)
    await world.relay()
    both = [world.projector(), world.projector()]
    for projector in both:
        monkeypatch.setattr(projector, "_holds_lease", always)
    await asyncio.gather(*(projector.run_once() for projector in both))
    for projector in both:  # one of them has built what does not serve
        world.commit(ALICE, placed(1))
        before = await world.version_of(ALICE)
        await world.settle(projector)
        assert await world.version_of(ALICE) == before + 1


async def test_only_one_works_and_the_other_takes_over_when_it_leaves(world: World) -> None:
    async with world.projector() as second:
        async with world.projector() as first:
            await world.settle(first)
            world.commit(ALICE, CREATED)
            await world.relay()
            assert await second.run_once() == 0
            assert await world.version_of(ALICE) == 0
        await world.settle(second)
        assert await world.version_of(ALICE) == 1


async def test_a_projector_without_the_lease_waits_between_its_attempts(
    world: World,
) -> None:
    async with world.projector() as first, world.projector() as second:
        await world.settle(first)
        before = asyncio.get_running_loop().time()
        await second.run_once(wait=0.1)
        assert asyncio.get_running_loop().time() - before >= 0.1


async def test_the_partition_of_a_dead_projector_is_free_after_its_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "LEASE_SECONDS", 0.2)
    await world.settle(world.projector())  # and it is heard of no more
    world.commit(ALICE, CREATED)
    await world.relay()
    heir = world.projector()
    assert await heir.run_once() == 0

    async def inherited() -> bool:
        await heir.run_once()
        return await world.version_of(ALICE) == 1

    await eventually(inherited)


async def test_leaving_releases_only_its_own_lease(world: World) -> None:
    async with world.projector() as first:
        await world.settle(first)
        async with world.projector() as second:
            await second.run_once()
        async with world.projector() as third:
            assert await third.run_once() == 0


async def test_projectors_with_other_fingerprints_work_next_to_each_other(world: World) -> None:
    async with world.projector() as ours, world.projector(fingerprint="other") as theirs:
        await world.settle(ours, theirs)
        world.commit(ALICE, CREATED)
        await world.settle(ours, theirs)
        for fingerprint in (FINGERPRINT, "other"):
            keys = await world.serving(fingerprint=fingerprint)
            assert keys is not None
            assert await world.redis.hget(keys.document("user", ALICE), "version") == "1"


async def test_leaving_while_redis_is_away_is_no_error(world: World) -> None:
    async with world.projector() as projector:
        await world.settle(projector)
        world.redis.connection_pool.connection_kwargs["path"] = "/nowhere"
        await world.redis.connection_pool.disconnect()
