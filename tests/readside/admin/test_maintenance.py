"""By hand: a rebuild beside the projector that serves, resumed or abandoned, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from domain.users.events import OrderPlaced, UserCreated, UserRenamed
from readside.admin import maintenance
from readside.admin.maintenance import MaintenanceRefused
from readside.generations.rebuild import Progress
from readside.projection_set import FINGERPRINT
from readside.projector import projector as projecting
from readside.redis_functions.keys import Partition
from tests.readside.contents import contents, eventually
from tests.readside.envelopes import order, user_in

if TYPE_CHECKING:
    from readside.redis_functions.keys import Keys
    from tests.readside.harness import World

ALICE, BOB, CAROL = (user_in(0, number) for number in range(3))
CREATED = UserCreated(name="Alice", email="alice@example.com")
PLACED = OrderPlaced(order_id=order(1), total=5)
STREAM = Partition(0).stream


class Interrupted(BaseException):
    """Ctrl-C."""


@pytest.fixture(autouse=True)
def _in_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "_RESYNC_INTERVAL_SECONDS", 0.0)


async def serving(world: World) -> Keys:
    keys = await world.serving()
    assert keys is not None
    return keys


async def filled(world: World) -> Keys:
    """A read model that serves, of three users."""
    world.commit(ALICE, CREATED, PLACED)
    world.commit(BOB, CREATED)
    world.commit(CAROL, CREATED)
    await world.build()
    return await serving(world)


async def interrupted(world: World, after_pages: int = 1) -> None:
    """A rebuild that somebody stops between two pages."""
    pages: list[int] = []

    async def meanwhile() -> None:
        pages.append(1)
        if len(pages) == after_pages:
            world.log.while_paging = None
            raise Interrupted

    world.log.while_paging = meanwhile
    with pytest.raises(Interrupted):
        await world.steering().rebuild()


async def groups(world: World) -> set[object]:
    return {group["name"] for group in await world.redis.xinfo_groups(STREAM)}


async def test_a_manual_rebuild_contains_the_same_as_what_it_replaces(world: World) -> None:
    old = await filled(world)
    flip = await world.steering().rebuild()
    new = await serving(world)
    assert (flip.before, flip.after) == (old.generation, new.generation)
    assert new != old
    assert await contents(world.redis, new) == await contents(world.redis, old)


async def test_a_manual_rebuild_releases_its_lease_without_an_error(world: World) -> None:
    await filled(world)
    await world.redis.config_resetstat()
    await world.steering().rebuild()
    assert await world.redis.info("errorstats") == {}


async def test_a_running_projector_continues_with_the_old_and_then_with_the_new_generation(
    world: World,
) -> None:
    old = await filled(world)
    async with world.projector() as projector:
        await world.settle(projector)

        async def meanwhile() -> None:
            world.log.while_paging = None
            world.commit(ALICE, UserRenamed(name="Alicia"))
            await world.settle(projector)
            assert await world.redis.hget(old.document("user", ALICE), "name") == "Alicia"
            assert await world.serving() == old

        world.log.while_paging = meanwhile
        await world.steering().rebuild()
        new = await serving(world)
        world.commit(ALICE, UserRenamed(name="Al"))
        await world.settle(projector)
        assert await world.redis.hget(new.document("user", ALICE), "name") == "Al"
        assert await world.redis.hget(old.document("user", ALICE), "name") == "Alicia"


async def test_progress_is_reported_page_by_page(world: World) -> None:
    await filled(world)
    told: list[Progress] = []
    await world.steering().rebuild(told.append)
    assert [progress.seen for progress in told] == [0, 2, 4]
    assert {progress.expected for progress in told} == {4}


async def test_an_interrupted_rebuild_is_resumed_after_its_last_page(world: World) -> None:
    old = await filled(world)
    await interrupted(world)
    assert await world.serving() == old
    [left] = await world.generations().interrupted()
    told: list[int] = []
    flip = await world.steering().rebuild(lambda progress: told.append(progress.seen))
    assert flip.after == left.generation
    assert told == [2, 4]
    assert await contents(world.redis, left) == await contents(world.redis, old)


async def test_events_between_an_interruption_and_its_resumption_are_included(world: World) -> None:
    old = await filled(world)
    await interrupted(world)
    async with world.projector() as projector:
        world.commit(ALICE, UserRenamed(name="Alicia"))
        # Behind the page that was read already: it is in the stream alone for whoever resumes.
        world.log.committed[0].insert(0, world.log.committed[0].pop())
        await world.redis.xadd(STREAM, {"e": msgspec.json.encode(world.log.committed[0][0])})
        await world.settle(projector)
    await world.steering().rebuild()
    new = await serving(world)
    assert (await world.hash_of(ALICE))["name"] == "Alicia"
    assert await contents(world.redis, new) == await contents(world.redis, old)


async def test_a_generation_that_cannot_be_resumed_is_built_again(world: World) -> None:
    await filled(world)
    await interrupted(world)
    [left] = await world.generations().interrupted()
    await world.redis.xgroup_destroy(STREAM, left.generation)
    flip = await world.steering().rebuild()
    assert flip.after != left.generation
    assert await contents(world.redis, left) == {}


async def test_an_interrupted_rebuild_can_be_abandoned(world: World) -> None:
    old = await filled(world)
    await interrupted(world)
    [left] = await world.generations().interrupted()
    assert await world.steering().abandon() == 1
    assert await contents(world.redis, left) == {}
    assert await groups(world) == {old.generation}
    assert await world.steering().abandon() == 0


async def test_an_interrupted_rebuild_is_retired_and_the_stream_is_trimmed(
    world: World,
) -> None:
    old = await filled(world)
    await interrupted(world)
    async with world.projector() as projector:
        world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.settle(projector)
        assert await world.length() == 1
        await world.generations().remove_unused(old, after=-1.0)
        assert await groups(world) == {old.generation}
        world.commit(ALICE, UserRenamed(name="Al"))
        await world.settle(projector)
        assert await world.length() == 0


async def test_a_rollback_brings_the_previous_generation_up_to_date(world: World) -> None:
    old = await filled(world)
    await world.steering().rebuild()
    async with world.projector() as projector:
        world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.settle(projector)
        new = await serving(world)
        flip = await world.steering().rollback()
        assert (flip.before, flip.after) == (new.generation, old.generation)
        assert await world.serving() == old
        assert (await world.hash_of(ALICE))["name"] == "Alicia"
        world.commit(ALICE, UserRenamed(name="Al"))
        await world.settle(projector)
        assert (await world.hash_of(ALICE))["name"] == "Al"


async def test_only_the_previous_generation_is_kept_after_many_rebuilds(
    world: World,
) -> None:
    await filled(world)
    flips = [await world.steering().rebuild() for _ in range(3)]
    assert await groups(world) == {flips[-1].before, flips[-1].after}
    await world.steering().rollback()
    assert await groups(world) == {flips[-1].before, flips[-1].after}


async def test_a_rollback_can_be_rolled_back(world: World) -> None:
    await filled(world)
    new = (await world.steering().rebuild()).after
    await world.steering().rollback()
    assert (await world.steering().rollback()).after == new


async def test_the_retention_of_a_replaced_generation_starts_at_the_switch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await filled(world)
    idle = 0.3

    async def is_idle() -> bool:
        [consumer] = await world.redis.xinfo_consumers(STREAM, old.generation)
        return bool(consumer["idle"] > idle * 1000)

    await eventually(is_idle)
    await world.steering().rebuild()
    assert await world.generations().remove_unused(await serving(world), after=idle) == 0
    assert (await world.steering().rollback()).after == old.generation


async def test_a_generation_that_was_active_is_neither_resumed_nor_abandoned(world: World) -> None:
    await filled(world)
    first = await world.steering().rebuild()
    second = await world.steering().rebuild()
    assert second.before == first.after != second.after
    assert await world.steering().abandon() == 0
    assert await world.version_of(ALICE) == 2


@pytest.mark.parametrize("why", ["first", "retired", "void"])
async def test_without_a_retained_generation_there_is_no_rollback(world: World, why: str) -> None:
    old = await filled(world)
    if why != "first":
        await world.steering().rebuild()
    if why == "retired":
        await world.generations().remove_unused(await serving(world), after=-1.0)
    if why == "void":
        await world.redis.hset(Partition(0).generations, old.generation, "void")
    before = await serving(world)
    with pytest.raises(MaintenanceRefused, match="No earlier read model of partition 0 is kept"):
        await world.steering().rollback()
    assert await world.serving() == before


async def test_an_incomplete_rebuild_leaves_the_old_generation_active(world: World) -> None:
    old = await filled(world)
    world.log.hidden = 1
    with pytest.raises(MaintenanceRefused, match="was not built completely"):
        await world.steering().rebuild()
    assert await world.serving() == old
    assert await groups(world) == {old.generation}


async def test_without_a_relay_there_is_nothing_to_build_on(world: World) -> None:
    with pytest.raises(MaintenanceRefused, match="tandem relay"):
        await world.steering().rebuild()


async def test_two_processes_do_not_rebuild_one_partition_concurrently(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_LEASE_TIMEOUT_SECONDS", 0.1)
    await filled(world)

    async def meanwhile() -> None:
        world.log.while_paging = None
        with pytest.raises(MaintenanceRefused, match="Another process"):
            await world.steering().rebuild()

    world.log.while_paging = meanwhile
    await world.steering().rebuild()


async def test_a_rollback_of_the_code_uses_its_own_generation_immediately(
    world: World,
) -> None:
    old = await filled(world)
    async with world.projector(fingerprint="newer") as newer:
        await world.settle(newer)
        world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.settle(newer)
    assert await world.serving() == old
    async with world.projector(fingerprint=FINGERPRINT) as rolled_back:
        await world.settle(rolled_back)
    assert await world.serving() == old
    assert (await world.hash_of(ALICE))["name"] == "Alicia"
