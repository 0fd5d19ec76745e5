"""What is lost in Redis comes back from the event log, by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from domain.users.events import OrderPlaced, UserCreated, UserRenamed
from readside.redis_functions.keys import Partition
from tests.readside.contents import contents
from tests.readside.envelopes import order, story, user_in

if TYPE_CHECKING:
    from tests.readside.harness import World

ALICE, BOB = user_in(0, 0), user_in(0, 1)
CREATED = UserCreated(name="Alice", email="alice@example.com")
PLACED = OrderPlaced(order_id=order(1), total=5)
STREAM = Partition(0).stream


async def all_known(world: World) -> dict[str, Any]:
    keys = await world.serving()
    assert keys is not None
    return await contents(world.redis, keys)


async def test_an_emptied_redis_is_filled_again(world: World) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED, PLACED)
        await world.settle(projector)
        before = await all_known(world)
        await world.redis.flushall()
        await world.settle(projector)
        assert await all_known(world) == before
        world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.settle(projector)
        assert (await world.hash_of(ALICE))["name"] == "Alicia"


async def test_no_generation_is_active_between_the_emptying_and_the_end_of_the_rebuild(
    world: World,
) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED)
        await world.settle(projector)
        await world.redis.flushall()
        assert await projector.run_once() >= 0
        assert await projector.run_once() == 0  # no relay has begun the stream yet
        assert await world.serving() is None


@pytest.mark.parametrize("lost", ["stream", "group", "generations", "cursor"])
async def test_a_lost_part_is_rebuilt(world: World, lost: str) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED, PLACED)
        await world.settle(projector)
        old = await world.serving()
        assert old is not None
        before = await all_known(world)
        if lost == "group":
            await world.redis.xgroup_destroy(STREAM, old.generation)
        else:
            await world.redis.delete(getattr(old.partition, lost))
        world.commit(BOB, CREATED)
        await world.settle(projector)
        await world.settle(projector)
        new = await world.serving()
        assert new is not None
        assert new != old
        assert await world.version_of(BOB) == 1
        after = await all_known(world)
        assert {key: after[key] for key in before if str(ALICE) in key} == {
            key: value for key, value in before.items() if str(ALICE) in key
        }


async def test_a_lost_user_is_filled_again_by_the_next_event(world: World) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED, PLACED)
        await world.settle(projector)
        keys = await world.serving()
        assert keys is not None
        before = await world.hash_of(ALICE)
        await world.redis.delete(keys.document("user", ALICE))
        world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.settle(projector)
        after = await world.hash_of(ALICE)
        assert after | {"updatedAt": "", "name": "", "version": ""} == before | {
            "updatedAt": "",
            "name": "",
            "version": "",
        }
        assert (after["version"], after["name"]) == ("3", "Alicia")


async def test_an_entry_without_an_envelope_is_discarded_and_acknowledged(world: World) -> None:
    async with world.projector() as projector:
        await world.settle(projector)
        await world.redis.xadd(STREAM, {"e": "not json"})
        await world.redis.xadd(STREAM, {"other": "field"})
        await world.redis.xadd(STREAM, {"e": b"\xff\xfe"})
        world.commit(ALICE, CREATED)
        await world.settle(projector)
        assert await world.version_of(ALICE) == 1
        assert await world.pending() == 0


async def test_an_entry_that_was_deleted_after_it_was_read_is_discarded(world: World) -> None:
    async with world.projector() as projector:
        await world.settle(projector)
        world.commit(ALICE, CREATED)
        await world.relay()
        await world.read_and_die()
        await world.redis.xtrim(STREAM, maxlen=0)
    async with world.projector() as projector:
        await world.settle(projector)
        assert await world.pending() == 0
        world.commit(ALICE, PLACED)
        await world.settle(projector)
        assert await world.version_of(ALICE) == 2


async def test_the_stream_is_trimmed_once_every_event_is_acknowledged(world: World) -> None:
    async with world.projector() as projector:
        await world.settle(projector)
        world.commit(ALICE, CREATED, PLACED)
        await world.settle(projector)
        assert await world.length() == 0


@pytest.mark.parametrize("slow", ["0-before-ours", "z-behind-ours"])
async def test_the_stream_is_kept_for_a_group_that_has_not_read_it(world: World, slow: str) -> None:
    async with world.projector() as projector:
        await world.settle(projector)
        await world.redis.xgroup_create(STREAM, slow, "$")
        world.commit(ALICE, CREATED, PLACED)
        await world.settle(projector)
        assert await world.length() == 2
        read: Any = await world.redis.xreadgroup(slow, "me", {STREAM: ">"}, count=1)
        world.commit(ALICE, UserRenamed(name="A"))
        await world.settle(projector)
        assert await world.length() == 3  # two are unread, the first not acknowledged
        await world.redis.xack(STREAM, slow, read[0][1][0][0])
        world.commit(ALICE, UserRenamed(name="B"))
        await world.settle(projector)
        assert await world.length() == 3  # the first is gone, the fourth has come


async def test_the_stream_is_kept_from_the_oldest_entry_not_acknowledged(world: World) -> None:
    async with world.projector() as projector:
        await world.settle(projector)
        await world.redis.xgroup_create(STREAM, "slow", "$")
        world.commit(ALICE, CREATED, PLACED, UserRenamed(name="A"))
        await world.relay()
        read: Any = await world.redis.xreadgroup("slow", "me", {STREAM: ">"})
        ids = [entry for entry, _ in read[0][1]]
        await world.redis.xack(STREAM, "slow", ids[0], ids[2])
        await world.settle(projector)
        left: Any = await world.redis.xrange(STREAM)
        assert [entry for entry, _ in left] == ids[1:]


async def test_events_with_a_duplicate_in_the_stream_count_once(world: World) -> None:
    async with world.projector() as projector:
        await world.settle(projector)
        world.commit(ALICE, CREATED, PLACED)
        await world.relay()
        for envelope in story(ALICE, CREATED, PLACED):
            await world.redis.xadd(STREAM, {"e": msgspec.json.encode(envelope)})
        await world.settle(projector)
        assert (await world.hash_of(ALICE))["orderCount"] == "1"
        assert await world.pending() == 0
