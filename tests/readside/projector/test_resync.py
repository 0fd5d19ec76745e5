"""A resync restores all keys of a user once, and hides the user meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from domain.users.events import (
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserRenamed,
)
from readside.applier import Delivery
from readside.errors import ReadModelRebuilding
from readside.projections import orders, users, users_by_email
from readside.projector import projector as projecting
from readside.queries.page_request import PageRequest
from tests.readside.contents import contents, eventually
from tests.readside.envelopes import located, order, spoilt, user_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from readside.projector.projector import Projector
    from readside.queries.reader import ReadModel
    from readside.redis_functions.keys import Keys
    from tests.readside.harness import World

ALICE = user_in(0, 0)
CREATED = UserCreated(name="Alice", email="alice@example.com")
PLACED = OrderPlaced(order_id=order(1), total=5)
COMPLETED = OrderCompleted(order_id=order(1), total=5)
MANY = 600


@pytest.fixture(autouse=True)
def _looks_in_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "_RESYNC_INTERVAL_SECONDS", 0.0)


async def serving(world: World, projector: Projector) -> Keys:
    await world.settle(projector)
    keys = await world.serving()
    assert keys is not None
    return keys


def behind_each_call(
    monkeypatch: pytest.MonkeyPatch, projector: Projector, what: Callable[[], Awaitable[None]]
) -> None:
    functions = projector._functions  # noqa: SLF001
    call = functions.call

    async def and_look(*arguments: Any) -> Any:
        answer = await call(*arguments)
        await what()
        return answer

    monkeypatch.setattr(functions, "call", and_look)


async def test_a_user_with_lost_orders_stays_visible_while_the_log_is_away(
    world: World,
) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED, PLACED)
        keys = await serving(world, projector)
        await world.redis.delete(keys.owned_key("orders", ALICE))
        await world.redis.sadd(keys.needs_resync, str(ALICE))
        world.log.away = True
        with pytest.raises(ConnectionError):
            await projector.run_once()
        world.log.away = False
        assert await world.version_of(ALICE) == 2
        await world.settle(projector)
        assert await world.redis.zcard(keys.owned_key("orders", ALICE)) == 1


async def test_events_applied_while_the_log_is_read_are_not_undone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED, PLACED)
        keys = await serving(world, projector)
        gate = projector.applier_for(keys)
        history = world.log.history
        asked: list[str] = []

        async def and_more_happens(*arguments: Any) -> Any:
            known = await history(*arguments)
            if not asked:
                asked.append("once")
                world.commit(ALICE, UserRenamed(name="Alicia"))
                last = world.log.committed[0][-1]
                await gate.apply([Delivery(last)], publish=True)
            return known

        monkeypatch.setattr(world.log, "history", and_more_happens)
        await gate.resync_aggregate(ALICE)
        assert asked
        assert (await world.hash_of(ALICE))["version"] == "3"
        assert "until" not in await world.hash_of(ALICE)


async def test_orders_are_not_shown_half_way(
    world: World, reads: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.projector() as projector:
        many = [OrderPlaced(order_id=order(n), total=1) for n in range(MANY)]
        world.commit(ALICE, CREATED, *many)
        keys = await serving(world, projector)
        await world.redis.sadd(keys.needs_resync, str(ALICE))
        counts: list[int | None] = []
        pages: list[int | None] = []

        async def look() -> None:
            try:
                counts.append(await orders.count(reads, ALICE))
            except ReadModelRebuilding:
                counts.append(None)
            try:
                pages.append(len((await orders.page(reads, ALICE, PageRequest(1000))).rows))
            except ReadModelRebuilding:
                pages.append(None)

        behind_each_call(monkeypatch, projector, look)
        await world.settle(projector)
        assert set(counts) == set(pages) == {None, MANY}


async def test_a_read_during_a_resync_does_not_request_another(
    world: World, reads: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED, *[UserRenamed(name=f"Alice {n}") for n in range(MANY)])
        keys = await serving(world, projector)
        await world.redis.sadd(keys.needs_resync, str(ALICE))
        versions: list[int] = []

        async def ask() -> None:
            version, until = await world.redis.hmget(
                keys.document("user", ALICE), "version", "until"
            )
            if until is not None:
                versions.append(int(version or 0))
                with pytest.raises(ReadModelRebuilding):
                    await users.fetch_many(reads, located(ALICE))

        behind_each_call(monkeypatch, projector, ask)
        await world.settle(projector)
        await world.settle(projector)
        assert set(versions) == {100, 200, 300, 400, 500, 600}
        assert versions == sorted(versions)


async def test_the_last_event_makes_the_user_visible_whichever_process_applies_it(
    world: World,
) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED, PLACED, COMPLETED)
        keys = await serving(world, projector)
        gate = projector.applier_for(keys)
        await world.redis.delete(keys.document("user", ALICE))
        first, *rest = await world.log.history(ALICE, 0)
        await gate.apply([Delivery(first, visible_from=3)], publish=True)
        assert (await world.hash_of(ALICE))["until"] == "3"
        await gate.apply(
            [Delivery(one) for one in rest], publish=True
        )  # as they come in the stream
        assert "until" not in await world.hash_of(ALICE)


async def test_a_parked_user_is_resynced_to_the_version_it_had(
    world: World, reads: ReadModel
) -> None:
    world.commit(ALICE, CREATED, PLACED, COMPLETED)
    events = world.log.committed[0]
    events[2] = spoilt(events[2], type="OrderDreamtOf")
    async with world.projector() as projector:
        keys = await serving(world, projector)
        before = await contents(world.redis, keys)
        await world.redis.delete(keys.document("user", ALICE), keys.owned_key("orders", ALICE))
        with pytest.raises(ReadModelRebuilding):
            await users.fetch_many(reads, located(ALICE))
        assert await serving(world, projector) == keys
        after = await contents(world.redis, keys)
        assert {**after, "counters": {}} == {**before, "counters": {}}


async def test_a_resynced_user_equals_that_of_a_fresh_generation(
    world: World, reads: ReadModel
) -> None:
    async with world.projector() as projector, world.projector(fingerprint="fresh") as other:
        world.commit(ALICE, CREATED, PLACED, COMPLETED, UserRenamed(name="Alicia"))
        keys = await serving(world, projector)
        await world.redis.hdel(keys.owned_key("closed", ALICE), str(order(1)))
        with pytest.raises(ReadModelRebuilding):
            await orders.page(reads, ALICE, PageRequest(10))
        await world.settle(projector, other)
        fresh = await world.serving(fingerprint="fresh")
        assert fresh is not None
        mended, expected = await contents(world.redis, keys), await contents(world.redis, fresh)
        assert {**mended, "counters": {}} == {**expected, "counters": {}}


async def test_a_user_parked_for_a_gap_in_the_log_is_resynced_to_the_version_it_had(
    world: World,
) -> None:
    world.commit(ALICE, CREATED, PLACED, COMPLETED)
    del world.log.committed[0][1]
    async with world.projector() as projector:
        keys = await serving(world, projector)
        before = await contents(world.redis, keys)
        assert before["parked"].keys() == {str(ALICE)}
        await world.redis.sadd(keys.needs_resync, str(ALICE))
        await serving(world, projector)
        after = await contents(world.redis, keys)
        assert {**after, "counters": {}} == {**before, "counters": {}}


async def test_orders_that_are_just_being_placed_do_not_count_as_lost(
    world: World, reads: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED, PLACED)
        keys = await serving(world, projector)
        ids = keys.owned_key("orders", ALICE)
        await world.redis.zadd(ids, {"half-way": 3})
        ask = reads.read
        looks: list[Any] = []

        async def and_complete(*arguments: Any) -> Any:
            replies = await ask(*arguments)
            looks.append(replies)
            await world.redis.zrem(ids, "half-way")
            return replies

        monkeypatch.setattr(reads, "read", and_complete)
        assert len((await orders.page(reads, ALICE, PageRequest(10))).rows) == 1
        assert len(looks) == 2
        assert await world.redis.exists(keys.needs_resync) == 0


async def test_an_address_is_not_reported_as_unused_during_its_users_resync(
    world: World, reads: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.projector() as projector, world.projector(1) as other:
        await world.settle(other)
        renamed = [UserRenamed(name=f"Alice {n}") for n in range(MANY)]
        world.commit(ALICE, CREATED, *renamed, UserEmailUpdated(email="alice@example.org"))
        keys = await serving(world, projector)
        await world.redis.sadd(keys.needs_resync, str(ALICE))
        answers: list[list[UUID]] = []

        async def find() -> None:
            answers.append(await users_by_email.find(reads, "alice@example.org"))

        behind_each_call(monkeypatch, projector, find)
        await world.settle(projector)
        assert {tuple(found) for found in answers} == {(ALICE,)}


async def test_an_interrupted_resync_is_finished_without_a_read(world: World) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED, PLACED, COMPLETED)
        keys = await serving(world, projector)
        await world.redis.delete(keys.document("user", ALICE))
        [first, *_] = await world.log.history(ALICE, 0)
        await projector.applier_for(keys).apply([Delivery(first, visible_from=3)], publish=True)
        assert await serving(world, projector) == keys
        await world.settle(projector)
        assert (await world.hash_of(ALICE))["version"] == "3"
        assert await world.redis.exists(keys.needs_resync) == 0


async def test_events_are_applied_while_a_lost_user_waits_for_a_log_that_is_slow_to_fail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projecting, "_RESYNC_INTERVAL_SECONDS", 0.2)
    async with world.projector() as projector:
        world.commit(ALICE, CREATED)
        keys = await serving(world, projector)
        await world.redis.sadd(keys.needs_resync, str(ALICE))
        failures: list[str] = []

        async def silent(*_: Any) -> Any:
            await asyncio.sleep(0.3)
            failures.append("once more")
            raise ConnectionError("the log is away")

        async def failed() -> bool:
            with suppress(ConnectionError):
                await projector.run_once()
            return bool(failures)

        async def applied() -> bool:
            return await failed() and await world.version_of(ALICE) == 2

        monkeypatch.setattr(world.log, "history", silent)
        await eventually(failed)
        world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.relay()
        await eventually(applied)
