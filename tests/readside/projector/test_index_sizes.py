"""The sizes of what users share: right through all that happens, so that only a loss is taken for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from domain.users.events import (
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserRenamed,
)
from readside.applier import Delivery
from readside.projector import projector as projecting
from readside.redis_functions.functions import GenerationGone
from tests.readside.envelopes import order, spoilt, story, user_in
from tests.readside.harness import with_projections

if TYPE_CHECKING:
    from readside.projection import Command, ProjectedEvent
    from readside.projector.projector import Projector
    from readside.redis_functions.keys import Keys
    from tests.readside.harness import World

ALICE, BOB = user_in(0, 0), user_in(0, 1)
CREATED = UserCreated(name="Alice", email="alice@example.com")
PLACED = OrderPlaced(order_id=order(1), total=5)
COMPLETED = OrderCompleted(order_id=order(1), total=5)
RENAMED = UserRenamed(name="Alicia")


@pytest.fixture(autouse=True)
def _looks_in_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "_RESYNC_INTERVAL_SECONDS", 0.0)


async def serving(world: World, projector: Projector) -> Keys:
    await world.settle(projector)
    keys = await world.serving()
    assert keys is not None
    return keys


async def test_no_event_of_a_user_counts_as_a_loss(world: World) -> None:
    async with world.projector() as projector:
        keys = await serving(world, projector)
        for events in (
            [CREATED, PLACED, COMPLETED],
            [UserEmailUpdated(email="alice@example.org")],
            [UserEmailUpdated(email="alice@example.com"), RENAMED],
            [UserErased()],
        ):
            world.commit(ALICE, *events)
            await world.settle(projector)
            await world.generations().check_intact(keys)
        assert await world.serving() == keys


async def test_a_replay_among_old_index_entries_is_no_loss(world: World) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED, PLACED, COMPLETED)
        keys = await serving(world, projector)
        await world.redis.sadd(keys.needs_resync, str(ALICE))
        assert await serving(world, projector) == keys
        await world.redis.delete(keys.document("user", ALICE))
        world.commit(ALICE, UserEmailUpdated(email="alice@example.org"))
        assert await serving(world, projector) == keys


def fails_behind_an_index(keys: Keys, happened: ProjectedEvent[Any]) -> list[Command]:
    if happened.data != RENAMED:
        return []
    return [
        ("ZADD", keys.shared_key("renamed"), "1", happened.aggregate_id),
        ("ZADD", keys.shared_key("renamed"), "no number", happened.aggregate_id),
    ]


async def test_an_event_that_fails_half_way_is_no_loss(world: World) -> None:
    async with world.projector(projections=with_projections(fails_behind_an_index)) as projector:
        world.commit(ALICE, CREATED)
        world.commit(BOB, CREATED)
        keys = await serving(world, projector)
        world.commit(ALICE, RENAMED, PLACED, COMPLETED)
        assert await serving(world, projector) == keys
        assert await world.redis.hexists(keys.parked, str(ALICE))
        assert await world.redis.zcard(keys.shared_key("renamed")) == 1
        world.commit(BOB, RENAMED)
        assert await serving(world, projector) == keys
        assert await world.redis.zcard(keys.shared_key("renamed")) == 2


async def test_a_generation_with_parked_users_is_complete(world: World) -> None:
    world.commit(ALICE, CREATED, PLACED, COMPLETED)
    world.commit(BOB, CREATED)
    events = world.log.committed[0]
    events[1] = spoilt(events[1], type="OrderDreamtOf")
    async with world.projector() as projector:
        keys = await serving(world, projector)
        assert await serving(world, projector) == keys


async def test_an_index_lost_during_a_rebuild_restarts_the_rebuild(world: World) -> None:
    for number in range(4):
        world.commit(user_in(0, number), CREATED, RENAMED)
    await world.relay()
    lost: list[str] = []

    async def meanwhile() -> None:
        if not lost:
            [key] = [key async for key in world.redis.scan_iter(match="*:emails")]
            lost.append(key)
            await world.redis.delete(key)

    world.log.while_paging = meanwhile
    async with world.projector() as projector:
        await serving(world, projector)
        keys = await serving(world, projector)
        assert lost != [keys.shared_key("emails")]
        assert await world.redis.zcard(keys.shared_key("emails")) == 4


@pytest.mark.parametrize("instead", ["nothing", "another kind"])
async def test_lost_counters_are_detected_whichever_call_is_first(
    world: World, monkeypatch: pytest.MonkeyPatch, instead: str
) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED)
        old = await serving(world, projector)
        monkeypatch.setattr(projecting, "_RESYNC_INTERVAL_SECONDS", 3600.0)
        await world.redis.delete(old.counters)
        if instead == "another kind":
            await world.redis.set(old.counters, "what is this")
        world.commit(ALICE, RENAMED)  # touches nothing that users share
        new = await serving(world, projector)
        assert new != old
        assert (await world.hash_of(ALICE))["name"] == "Alicia"
        await world.generations().check_intact(new)


async def test_a_check_of_lost_counters_raises_that_the_generation_is_gone(world: World) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED)
        keys = await serving(world, projector)
        await world.redis.delete(keys.counters)
        await world.redis.hset(keys.counters, "taken", 1)
        with pytest.raises(GenerationGone):
            await world.generations().check_intact(keys)


async def test_a_loss_invalidates_the_generation_in_the_call_that_detects_it(world: World) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED)
        keys = await serving(world, projector)
        await world.redis.zrem(keys.shared_key("users"), str(ALICE))
        gate = projector.applier_for(keys)
        [created] = story(BOB, CREATED)
        with pytest.raises(GenerationGone):
            await gate.apply([Delivery(created)], publish=True)
        assert await world.serving() is None
        assert await world.redis.hget(keys.partition.generations, keys.generation) == "void"
