"""Rebuilds: a new generation is built next to the active one or not at all; old ones are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from domain.users.events import OrderPlaced, UserCreated, UserRenamed
from readside.projection_set import FINGERPRINT
from readside.projector import lease as leasing
from readside.projector import projector as projecting
from readside.redis_functions.functions import GenerationGone
from readside.redis_functions.keys import Keys, Partition
from tests.readside.contents import contents, eventually
from tests.readside.envelopes import order, spoilt, user_in
from tests.readside.harness import with_projections

if TYPE_CHECKING:
    from readside.projection import Command, ProjectedEvent
    from tests.readside.harness import World

ALICE, BOB, CAROL = (user_in(0, number) for number in range(3))
CREATED = UserCreated(name="Alice", email="alice@example.com")
PLACED = OrderPlaced(order_id=order(1), total=5)
FIRST = Partition(0)


def counted(keys: Keys, happened: ProjectedEvent[Any]) -> list[Command]:
    """A read model that only the newer version of the code has."""
    return [("HINCRBY", keys.shared_key("seen"), happened.aggregate_id, "1")]


async def _without(world: World, generation: str) -> bool:
    return generation not in await fields(world)


async def fields(world: World) -> dict[str, str]:
    found = await world.redis.hgetall(FIRST.generations)
    return {str(name): str(value) for name, value in found.items()}


async def test_the_first_start_reads_the_events_committed_before_it(world: World) -> None:
    world.commit(ALICE, CREATED, PLACED)
    world.commit(BOB, CREATED)
    await world.build()
    assert (await world.hash_of(ALICE))["orderCount"] == "1"
    assert await world.version_of(BOB) == 1


async def test_events_committed_while_the_log_is_read_are_applied_once(world: World) -> None:
    world.commit(ALICE, CREATED, PLACED)
    world.commit(BOB, CREATED)
    more = iter(range(2, 5))

    async def meanwhile() -> None:
        for number in more:
            world.commit(ALICE, OrderPlaced(order_id=order(number), total=1))
            await world.relay()
            return

    world.log.while_paging = meanwhile
    await world.build()
    assert (await world.hash_of(ALICE))["orderCount"] == "4"
    assert await world.version_of(ALICE) == 5
    assert await world.pending() == 0


async def test_an_event_that_commits_after_its_page_is_read_from_the_stream(
    world: World,
) -> None:
    world.commit(ALICE, CREATED, PLACED)
    await world.relay()
    late: list[str] = []

    async def meanwhile() -> None:
        if not late:
            late.append("once")
            world.commit(BOB, CREATED)
            # Its position lies before what has been read already, so no page will have it.
            world.log.committed[0].insert(0, world.log.committed[0].pop())
            entry = msgspec.json.encode(world.log.committed[0][0])
            await world.redis.xadd(FIRST.stream, {"e": entry})

    world.log.while_paging = meanwhile
    async with world.projector() as projector:
        await projector.run_once()
    assert await world.version_of(BOB) == 1


async def test_the_old_generation_is_active_until_the_new_one_is_complete(world: World) -> None:
    world.commit(ALICE, CREATED, PLACED)
    await world.build()
    old = await world.serving()
    assert old is not None
    seen: list[tuple[Keys | None, object]] = []

    async def meanwhile() -> None:
        name = await world.redis.hget(old.document("user", ALICE), "name")
        seen.append((await world.serving(), name))

    world.log.while_paging = meanwhile
    await world.redis.xgroup_destroy(FIRST.stream, old.generation)  # so a new one is needed
    async with world.projector() as projector:
        await projector.run_once()
    pointed_at = {name for field, name in (await fields(world)).items() if "serving:" in field}
    new = await world.serving()
    assert new is not None
    assert pointed_at == {new.generation} != {old.generation}
    assert seen == [(None, "Alice")]  # no group any more, but the data and the pointer stood


async def test_readers_of_other_code_do_not_see_the_new_generation(world: World) -> None:
    world.commit(ALICE, CREATED, PLACED)
    await world.build()
    ours = await world.serving()
    newer = with_projections(counted)
    async with world.projector(projections=newer, fingerprint="newer") as projector:
        await world.settle(projector)
        theirs = await world.serving(fingerprint="newer")
        assert await world.serving() == ours
        assert theirs is not None
        assert await world.redis.hget(theirs.shared_key("seen"), str(ALICE)) == "2"
        assert ours is not None
        assert await world.redis.exists(ours.shared_key("seen")) == 0


async def test_a_new_generation_holds_the_same_as_the_one_it_replaces(world: World) -> None:
    async with world.projector() as projector:
        await world.settle(projector)
        world.commit(ALICE, CREATED, PLACED)
        world.commit(BOB, CREATED, UserRenamed(name="Bob"))
        await world.settle(projector)
        old = await world.serving()
        assert old is not None
        async with world.projector(fingerprint="same") as other:
            await world.settle(other)
        new = await world.serving(fingerprint="same")
        assert new is not None
        assert await contents(world.redis, new) == await contents(world.redis, old)


async def test_an_incomplete_rebuild_is_not_activated(world: World) -> None:
    world.commit(ALICE, CREATED, PLACED)
    world.log.hidden = 1
    await world.relay()
    async with world.projector() as projector:
        assert await projector.run_once() == 0
        assert await world.serving() is None
        world.log.hidden = 0
        await world.settle(projector)
        assert await world.version_of(ALICE) == 2


async def test_new_events_do_not_hide_that_a_rebuild_came_out_short(world: World) -> None:
    world.commit(ALICE, CREATED, PLACED)
    world.commit(BOB, CREATED)
    world.log.hidden = 1
    await world.relay()

    async def meanwhile() -> None:
        world.log.while_paging = None
        world.log.hidden += 2
        world.commit(CAROL, CREATED, UserRenamed(name="Carol"))
        await world.redis.xadd(FIRST.stream, {"e": msgspec.json.encode(world.log.committed[0][-2])})

    world.log.while_paging = meanwhile
    async with world.projector() as projector:
        assert await projector.run_once() == 0
    assert await world.serving() is None


async def test_a_parked_user_does_not_prevent_an_activation(world: World) -> None:
    world.commit(ALICE, CREATED, PLACED, UserRenamed(name="Alicia"))
    world.commit(BOB, CREATED)
    events = world.log.committed[0]
    events[1] = spoilt(events[1], type="OrderDreamtOf")
    await world.build()
    assert await world.version_of(BOB) == 1
    assert await world.version_of(ALICE) == 1


async def test_a_parked_user_does_not_excuse_the_loss_of_others(world: World) -> None:
    world.commit(ALICE, CREATED, PLACED)
    world.commit(BOB, CREATED)
    events = world.log.committed[0]
    events[1] = spoilt(events[1], type="OrderDreamtOf")
    world.log.hidden = 1
    await world.build()
    assert await world.serving() is None


@pytest.mark.parametrize("reason", ["short", "away"])
async def test_a_failed_rebuild_leaves_nothing(world: World, reason: str) -> None:
    world.commit(ALICE, CREATED, PLACED)
    await world.relay()
    async with world.projector() as projector:
        if reason == "short":
            world.log.hidden = 1
            await projector.run_once()
        else:
            world.log.away = True
            with pytest.raises(ConnectionError):
                await projector.run_once()
    assert await world.redis.xinfo_groups(FIRST.stream) == []
    left = [key async for key in world.redis.scan_iter(match=f"{FIRST.prefix}*")]
    assert sorted(left) == sorted([FIRST.stream, FIRST.cursor])


async def test_a_generation_that_becomes_void_during_its_rebuild_is_never_activated(
    world: World,
) -> None:
    world.commit(ALICE, CREATED, PLACED, UserRenamed(name="Alicia"))
    await world.relay()

    async def meanwhile() -> None:
        world.log.while_paging = None
        await world.redis.flushall()
        await world.relay()

    world.log.while_paging = meanwhile
    async with world.projector() as projector:
        try:
            await projector.run_once()
        except GenerationGone:
            pytest.fail("a pass deals with that itself")
        assert await world.serving() is None
        await world.settle(projector)
    assert await world.version_of(ALICE) == 3


async def retired(world: World, after: float = 0.0) -> tuple[Keys, Keys, int]:
    """Our generation, one of other code, and how many were removed when ours was to be kept."""
    world.commit(ALICE, CREATED, PLACED)
    await world.build()
    async with world.projector(fingerprint="other") as projector:
        await world.settle(projector)
    ours, theirs = await world.serving(), await world.serving(fingerprint="other")
    assert ours is not None
    assert theirs is not None
    return ours, theirs, await world.generations().remove_unused(ours, after=after)


async def test_an_unused_generation_is_removed_with_all_its_keys(world: World) -> None:
    ours, theirs, removed = await retired(world, after=-1.0)
    assert removed == 1
    assert await contents(world.redis, theirs) == {}
    groups = await world.redis.xinfo_groups(FIRST.stream)
    assert [group["name"] for group in groups] == [ours.generation]
    assert await fields(world) == {
        ours.generation: "live",
        f"serving:{FINGERPRINT}": ours.generation,
    }


async def test_a_retained_generation_keeps_all_its_keys(world: World) -> None:
    world.commit(ALICE, CREATED)
    await world.build()
    ours, second = await world.serving(), await world.serving(1)
    assert ours is not None
    assert second is not None
    before = await contents(world.redis, ours)
    await retired(world, after=-1.0)
    assert await world.serving() == ours
    assert await world.serving(1) == second
    after = await contents(world.redis, ours)
    assert before.keys() <= after.keys()


async def test_a_generation_that_is_read_is_not_removed(world: World) -> None:
    ours, theirs, removed = await retired(world, after=60.0)
    assert removed == 0
    assert await world.serving(fingerprint="other") == theirs
    assert await world.serving() == ours


async def test_a_void_generation_is_removed_immediately(world: World) -> None:
    world.commit(ALICE, CREATED)
    await world.build()
    old = await world.serving()
    assert old is not None
    await world.redis.delete(FIRST.cursor)
    await world.build()
    async with world.projector() as projector:
        await world.settle(projector)
        await eventually(lambda: _without(world, old.generation))
    assert await contents(world.redis, old) == {}


async def test_a_running_projector_removes_idle_generations_repeatedly(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projecting, "_CLEAN_UP_INTERVAL_SECONDS", 0.0)
    async with world.projector() as projector:
        await world.settle(projector)
        await world.redis.hset(FIRST.generations, "old", "void")
        await world.redis.set(Keys(FIRST, "old").shared_key("any"), "thing")

        async def looked() -> bool:
            await projector.run_once()  # the check before may still be running
            return await _without(world, "old")

        await eventually(looked)
        assert await contents(world.redis, Keys(FIRST, "old")) == {}


async def test_a_rebuild_keeps_its_partition_however_long_the_log_takes_to_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "LEASE_SECONDS", 0.2)
    await world.relay()
    others: list[int] = []

    async def count_slowly(partition: int) -> int:
        async with world.projector() as other:
            others.extend([await other.run_once(wait=0.05) for _ in range(10)])
        return 0

    monkeypatch.setattr(world.log, "count", count_slowly)
    async with world.projector() as projector:
        assert await projector.run_once() == 1
    assert others == [0] * 10


async def test_a_generation_can_be_removed_from_a_full_redis(world: World) -> None:
    async with world.projector() as projector:
        await world.settle(projector)
        keys = await world.serving()
        assert keys is not None
        await world.redis.config_set("maxmemory", 1)
        try:
            await world.generations().remove(keys)
        finally:
            await world.redis.config_set("maxmemory", 0)
        assert keys.generation not in await fields(world)
