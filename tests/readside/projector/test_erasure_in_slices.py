"""An erasure takes the entries of an index out in slices: others wait for one, and none is left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from domain.users.events import OrderCompleted, OrderPlaced, UserCreated, UserErased, UserRenamed
from readside import applier as gating
from readside.errors import ReadModelRebuilding
from readside.projections import orders, user_list, users
from readside.projector import projector as projecting
from readside.queries.page_request import PageRequest
from readside.redis_functions import functions
from readside.verify.scratch_generation import ScratchGeneration
from tests.readside.contents import contents
from tests.readside.envelopes import order, spoilt, user_in
from tests.readside.harness import advance_while_verify_waits, with_projections
from tests.readside.sums_of_users import revenue_per_month

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from domain.envelope import Envelope
    from readside.queries.reader import ReadModel
    from readside.redis_functions.keys import Keys
    from tests.readside.harness import World

ALICE, BOB, CAROL = (user_in(0, number) for number in range(3))
SLICE, ORDERS = 10, 65
CREATED = UserCreated(name="Alice", email="alice@example.com")
PLACED = [OrderPlaced(order_id=order(number), total=1) for number in range(ORDERS)]


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "_RESYNC_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(gating, "MAX_SLICE_EVENTS", SLICE)
    source = vars(functions)["_SOURCE"]
    limit = "local MAX_UNINDEXED = 1000"
    assert limit in source
    monkeypatch.setattr(
        functions, "_SOURCE", source.replace(limit, f"local MAX_UNINDEXED = {SLICE}")
    )
    monkeypatch.setattr(functions, "VERSION", "slices")


async def filled(world: World, *erased: UUID) -> Keys:
    """Returns a read model with users of many orders, whose erasures are in the stream, and of Bob."""
    for user in erased:
        world.commit(user, CREATED, *PLACED)
    world.commit(BOB, UserCreated(name="Bob", email="bob@example.com"))
    await world.build()
    keys = await world.serving()
    assert keys is not None
    for user in erased:
        world.commit(user, UserErased())
    await world.relay()
    return keys


async def entries(world: World, keys: Keys) -> int:
    return int(await world.redis.zcard(keys.shared_key("orders-by-id")))


async def assert_nothing_left(world: World, keys: Keys, *erased: UUID) -> None:
    left = await contents(world.redis, keys)
    assert {name for name in left if any(str(user) in name for user in erased)} == {
        f"user:{user}" for user in erased
    }
    for user in erased:
        assert left[f"user:{user}"] == {"version": str(ORDERS + 2)}
    assert not left.keys() & {"lost", "orders-by-id", "parked"}


async def test_the_user_is_invisible_at_once_and_others_are_updated_between_any_two_slices(
    world: World, reads: ReadModel
) -> None:
    keys = await filled(world, ALICE)
    passes, before = 0, ORDERS
    async with world.projector() as projector:
        while await projector.run_once() or not passes:
            after = await entries(world, keys)
            assert before - after <= SLICE
            if after in {0, before}:
                continue
            passes, before = passes + 1, after
            assert await world.pending() == 0
            with pytest.raises(ReadModelRebuilding):
                await orders.page(reads, ALICE, PageRequest(1))
            listed = await user_list.page(reads, PageRequest(10))
            assert [row.name for row in await users.fetch_many(reads, listed.ids)] == ["Bob"]
            version = world.commit(BOB, UserRenamed(name="Bob"))
            await world.relay()
            await projector.run_once()
            assert await world.version_of(BOB) == version
            before = await entries(world, keys)
    assert passes >= 2
    assert await users.fetch(reads, ALICE, min_version=ORDERS + 2) is None
    await assert_nothing_left(world, keys, ALICE)


async def test_the_erasures_of_one_batch_share_a_slice(world: World) -> None:
    keys = await filled(world, ALICE, CAROL)
    async with world.projector() as projector:
        while await entries(world, keys) == 2 * ORDERS:
            await projector.run_once()
        assert await entries(world, keys) == 2 * ORDERS - SLICE
        await world.settle(projector)
    await assert_nothing_left(world, keys, ALICE, CAROL)


async def test_a_killed_erasure_is_continued_by_another_process(world: World) -> None:
    keys = await filled(world, ALICE)
    left: list[int] = []
    while await world.redis.exists(keys.needs_resync) or not left:
        async with world.projector() as projector:
            await projector.run_once()
            await projector.run_once()
        left.append(await entries(world, keys))
    assert len(set(left)) > ORDERS // SLICE // 2
    assert left == sorted(left, reverse=True)
    await assert_nothing_left(world, keys, ALICE)


@pytest.mark.parametrize("of_all", [True, False])
async def test_verify_waits_for_an_erasure_as_long_as_it_advances(
    world: World, monkeypatch: pytest.MonkeyPatch, of_all: bool
) -> None:
    """And compares none that has begun: its entries would need memory."""
    keys = await filled(world, ALICE)
    compared, add = list[int](), ScratchGeneration.add

    async def counted(self: ScratchGeneration, events: Sequence[Envelope]) -> None:
        if await world.redis.hexists(keys.document("user", ALICE), "until"):
            compared.extend(one.version for one in events if one.aggregate_id == ALICE)
        await add(self, events)

    async with world.projector() as projector:
        while await entries(world, keys) == ORDERS:
            await projector.run_once()
        sleeps = advance_while_verify_waits(monkeypatch, projector)
        monkeypatch.setattr(ScratchGeneration, "add", counted)
        verify = world.verify(patience=0.15)
        result = await (verify.run() if of_all else verify.of_aggregate(ALICE))
    assert result.differences == []
    assert len(sleeps) > ORDERS // SLICE // 2
    assert compared == []
    await assert_nothing_left(world, keys, ALICE)


async def test_verify_knows_the_sums_of_users_that_it_does_not_compare_yet(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other user contributes to them."""
    projections = with_projections(revenue_per_month)
    world.commit(ALICE, CREATED, *PLACED, OrderCompleted(order_id=order(1), total=1))
    async with world.projector(projections=projections) as projector:
        await world.settle(projector)
        keys = await world.serving()
        assert keys is not None
        assert await world.redis.exists(keys.shared_key("revenue"))
        await world.redis.sadd(keys.needs_resync, str(ALICE))
        advance_while_verify_waits(monkeypatch, projector)
        result = await world.verify(projections=projections, patience=1).run()
    assert result.differences == []


async def test_verify_reports_an_erasure_that_does_not_advance(world: World) -> None:
    keys = await filled(world, ALICE)
    async with world.projector() as projector:
        while await entries(world, keys) == ORDERS:
            await projector.run_once()
        differences = (await world.verify().run()).differences
    assert {(one.key, one.shared) for one in differences} == {("version", False), ("lost", False)}


async def test_a_rebuild_leaves_nothing_and_verify_finds_no_difference(world: World) -> None:
    keys = await filled(world, ALICE)
    async with world.projector() as projector:
        await world.settle(projector)
    assert (await world.verify().run()).differences == []
    await world.steering().rebuild()
    built = await world.serving()
    assert built is not None
    assert built != keys
    await assert_nothing_left(world, built, ALICE)


async def test_orders_that_were_lost_before_an_erasure_leave_no_entry(world: World) -> None:
    keys = await filled(world, ALICE)
    await world.redis.delete(keys.owned_key("orders", ALICE))
    async with world.projector() as projector:
        await world.settle(projector)
    await assert_nothing_left(world, keys, ALICE)


async def test_an_erasure_does_not_wait_behind_an_event_that_its_resync_parks(world: World) -> None:
    keys = await filled(world, ALICE)
    await world.redis.delete(keys.owned_key("orders", ALICE))
    history = world.log.committed[0]
    at = next(
        number
        for number, event in enumerate(history)
        if (event.aggregate_id, event.version) == (ALICE, ORDERS)
    )
    history[at] = spoilt(history[at], schema=99)
    async with world.projector() as projector:
        await world.settle(projector)
    assert await world.hash_of(ALICE) == {"version": str(ORDERS + 2)}
    assert await world.redis.exists(keys.parked, keys.needs_resync) == 0
