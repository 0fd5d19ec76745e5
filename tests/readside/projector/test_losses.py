"""Losses in Redis: missing keys, removed members and unread entries are detected and repaired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from domain.users.events import OrderCompleted, OrderPlaced, UserCreated, UserRenamed
from readside.errors import ReadModelRebuilding
from readside.projections import orders, users, users_by_email
from readside.projector import projector as projecting
from readside.queries.page_request import PageRequest
from readside.redis_functions.functions import GenerationGone
from readside.redis_functions.keys import Keys, Partition
from tests.readside.contents import contents, eventually
from tests.readside.envelopes import located, order, user_in

if TYPE_CHECKING:
    from readside.projector.projector import Projector
    from readside.queries.reader import ReadModel
    from tests.readside.harness import World

ALICE, BOB = user_in(0, 0), user_in(0, 1)
CREATED = UserCreated(name="Alice", email="alice@example.com")
BOB_CREATED = UserCreated(name="Bob", email="bob@example.com")
PLACED = OrderPlaced(order_id=order(1), total=5)
COMPLETED = OrderCompleted(order_id=order(1), total=5)
SHARED = [
    "users",
    "orders-by-id",
    *(f"{name}{of}" for name in ("emails", "names", "lifetime-values") for of in ("", "-of")),
]
STREAM = Partition(0).stream


@pytest.fixture(autouse=True)
def _looks_in_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "_RESYNC_INTERVAL_SECONDS", 0.0)


async def filled(world: World, projector: Projector) -> tuple[Keys, dict[str, Any]]:
    """A read model with something in every index, and what it holds."""
    world.commit(ALICE, CREATED, PLACED, COMPLETED)
    world.commit(BOB, BOB_CREATED)
    await world.settle(projector)
    keys = await world.serving()
    assert keys is not None
    return keys, await contents(world.redis, keys)


async def serving_after(world: World, projector: Projector) -> Keys | None:
    await world.settle(projector)
    return await world.serving()


async def after(world: World, projector: Projector, old: Keys) -> dict[str, Any]:
    """What the generation holds that has taken the place of the old one."""
    await world.settle(projector)
    new = await world.serving()
    assert new is not None
    assert new.generation != old.generation, "nobody noticed"
    return await contents(world.redis, new)


@pytest.mark.parametrize("name", [*SHARED, "counters"])
async def test_a_lost_index_is_rebuilt_without_new_events(world: World, name: str) -> None:
    async with world.projector() as projector:
        old, before = await filled(world, projector)
        await world.redis.delete(old.shared_key(name))
        assert await after(world, projector, old) == before


@pytest.mark.parametrize("name", SHARED)
async def test_an_index_of_another_type_is_rebuilt(world: World, name: str) -> None:
    async with world.projector() as projector:
        old, before = await filled(world, projector)
        await world.redis.delete(old.shared_key(name))
        await world.redis.set(old.shared_key(name), "what is this")
        assert await after(world, projector, old) == before


async def test_a_removed_index_member_is_restored(world: World) -> None:
    async with world.projector() as projector:
        old, before = await filled(world, projector)
        await world.redis.zrem(old.shared_key("users"), str(BOB))
        assert await after(world, projector, old) == before


async def test_a_lost_index_is_detected_before_it_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.projector() as projector:
        old, before = await filled(world, projector)
        monkeypatch.setattr(projecting, "_RESYNC_INTERVAL_SECONDS", 3600.0)
        await world.redis.delete(old.shared_key("users"))
        world.commit(user_in(0, 2), UserCreated(name="Carol", email="carol@example.com"))
        found = await after(world, projector, old)
        assert len(found["users"]) == len(before["users"]) + 1


async def test_a_lost_index_answers_no_query(world: World, reads: ReadModel) -> None:
    async with world.projector() as projector, world.projector(1) as other:
        await world.settle(other)
        old, _ = await filled(world, projector)
        assert await users_by_email.find(reads, "bob@example.com") == [BOB]
        await world.redis.delete(old.shared_key("emails"))
        await projector.run_once()
        with pytest.raises(ReadModelRebuilding):
            await users_by_email.find(reads, "bob@example.com")


@pytest.mark.parametrize("how", ["lost", "of another kind", "without an entry"])
async def test_an_address_missing_in_a_lost_index_is_not_reported_as_unused(
    world: World, reads: ReadModel, how: str
) -> None:
    async with world.projector() as projector, world.projector(1) as other:
        await world.settle(other)
        keys, _ = await filled(world, projector)
        if how == "without an entry":
            await world.redis.zremrangebyrank(keys.shared_key("emails"), -1, -1)
        else:
            await world.redis.delete(keys.shared_key("emails"))
        if how == "of another kind":
            await world.redis.set(keys.shared_key("emails"), "what is this")
        with pytest.raises(ReadModelRebuilding):  # though no projector has looked yet
            await users_by_email.find(reads, "bob@example.com")


async def test_entries_trimmed_unread_are_read_from_the_log(world: World) -> None:
    async with world.projector() as projector:
        old, _ = await filled(world, projector)
        world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.relay()
        await world.redis.xtrim(STREAM, maxlen=0, approximate=False)
        await after(world, projector, old)
        assert (await world.hash_of(ALICE))["name"] == "Alicia"


async def test_an_entry_trimmed_among_others_is_missed_too(world: World) -> None:
    async with world.projector() as projector:
        old, _ = await filled(world, projector)
        world.commit(ALICE, UserRenamed(name="Alicia"))
        world.commit(BOB, UserRenamed(name="Rob"))
        await world.relay()
        await world.redis.xtrim(STREAM, maxlen=1, approximate=False)
        await after(world, projector, old)
        assert (await world.hash_of(ALICE))["name"] == "Alicia"
        assert (await world.hash_of(BOB))["name"] == "Rob"


async def test_an_entry_trimmed_after_it_was_read_is_missed_too(world: World) -> None:
    async with world.projector() as projector:
        old, _ = await filled(world, projector)
        world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.relay()
        assert await world.read_and_die() == 1
        await world.redis.xtrim(STREAM, maxlen=0, approximate=False)
    async with world.projector() as heir:
        await after(world, heir, old)
        assert (await world.hash_of(ALICE))["name"] == "Alicia"


async def test_a_lost_entry_is_missed_though_there_is_always_more_to_read(world: World) -> None:
    async with world.projector() as projector:
        keys, _ = await filled(world, projector)
        world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.relay()
        await world.redis.xtrim(STREAM, maxlen=0, approximate=False)
        world.commit(BOB, UserRenamed(name="Rob"))
        await world.relay()
        with pytest.raises(GenerationGone):
            await world.generations().check_intact(keys)


async def test_entries_that_were_read_and_not_yet_applied_are_not_missed(world: World) -> None:
    async with world.projector() as projector:
        keys, _ = await filled(world, projector)
        world.commit(ALICE, UserRenamed(name="Alicia"), UserRenamed(name="Al"))
        await world.relay()
        await world.read_and_die()
        world.commit(BOB, UserRenamed(name="Rob"))
        await world.relay()
        await world.generations().check_intact(keys)


async def test_a_group_far_behind_is_not_taken_for_one_that_missed_something(world: World) -> None:
    async with world.projector() as projector:
        keys, _ = await filled(world, projector)
        world.commit(ALICE, *[UserRenamed(name=f"Alice {n}") for n in range(501)])
        await world.relay()
        await world.generations().check_intact(keys)
        assert await serving_after(world, projector) == keys


async def test_the_old_generation_is_read_while_lost_entries_are_replaced(world: World) -> None:
    async with world.projector() as projector:
        old, _ = await filled(world, projector)
        world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.relay()
        await world.redis.xtrim(STREAM, maxlen=0, approximate=False)
        await projector.run_once()  # it waits for what is not there any more
        await projector.run_once()  # it notices
        assert await world.redis.exists(old.document("user", ALICE))
        assert (await world.hash_of(ALICE))["name"] in {"Alice", "Alicia"}


async def test_nothing_is_rebuilt_without_a_loss(world: World) -> None:
    async with world.projector() as projector:
        old, _ = await filled(world, projector)
        for number in range(5):
            world.commit(ALICE, UserRenamed(name=f"Alice {number}"))
            await world.settle(projector)
        await world.redis.xadd(STREAM, {"e": "no envelope"})
        await world.settle(projector)
        assert await world.serving() == old


@pytest.mark.parametrize("name", ["orders", "closed"])
async def test_lost_orders_are_detected_by_a_read_and_restored(
    world: World, reads: ReadModel, name: str
) -> None:
    async with world.projector() as projector:
        keys, before = await filled(world, projector)
        await world.redis.delete(keys.owned_key(name, ALICE))
        with pytest.raises(ReadModelRebuilding):
            await orders.page(reads, ALICE, PageRequest(10))
        await world.settle(projector)
        [row] = (await orders.page(reads, ALICE, PageRequest(10))).rows
        assert row.status == "COMPLETED"
        after = await contents(world.redis, keys)
        assert {**after, "counters": {}} == {**before, "counters": {}}


async def test_a_list_with_a_lost_user_is_rebuilding_and_not_shorter(
    world: World, reads: ReadModel
) -> None:
    async with world.projector() as projector:
        keys, _ = await filled(world, projector)
        await world.redis.delete(keys.document("user", BOB))
        with pytest.raises(ReadModelRebuilding):
            await users.fetch_many(reads, located(ALICE, BOB))
        await world.settle(projector)
        assert [row.id for row in await users.fetch_many(reads, located(ALICE, BOB))] == [
            str(ALICE),
            str(BOB),
        ]


async def test_a_user_is_hidden_during_its_resync(
    world: World, reads: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED, *[UserRenamed(name=f"Alice {n}") for n in range(600)])
        await world.settle(projector)
        keys = await world.serving()
        assert keys is not None
        await world.redis.delete(keys.document("user", ALICE))
        with pytest.raises(ReadModelRebuilding):
            await users.fetch(reads, ALICE, min_version=1)
        seen = []
        functions = projector._functions  # noqa: SLF001
        call = functions.call

        async def and_look(*arguments: Any) -> Any:
            answer = await call(*arguments)
            seen.append(await world.redis.hmget(keys.document("user", ALICE), "version", "until"))
            return answer

        monkeypatch.setattr(functions, "call", and_look)
        await world.settle(projector)
        assert ["100", "601"] in seen
        row = await users.fetch(reads, ALICE)
        assert row is not None
        assert row.version == 601
        assert await world.redis.hget(keys.document("user", ALICE), "until") is None


async def test_orphaned_keys_are_removed_after_another_generation_is_built(world: World) -> None:
    async with world.projector() as projector:
        old, _ = await filled(world, projector)
        await world.redis.xgroup_create(STREAM, "of somebody else")
        await world.redis.delete(Partition(0).generations)
        await world.settle(projector)
        new = await world.serving()
        assert new is not None
        expected = sorted(["of somebody else", new.generation])

        async def swept() -> bool:
            left = [key async for key in world.redis.scan_iter(match=old.shared_key("*"))]
            groups = [group["name"] for group in await world.redis.xinfo_groups(STREAM)]
            return not left and sorted(groups) == expected

        await eventually(swept)
        assert await contents(world.redis, new) != {}


async def test_all_keys_are_scanned_once_for_each_generation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projecting, "_CLEAN_UP_INTERVAL_SECONDS", 0.0)
    async with world.projector() as projector:
        generations = projector._generations  # noqa: SLF001
        retire, sweep = generations.remove_unused, generations.remove_orphans
        looks: list[str] = []

        async def and_retire(keep: Keys) -> int:
            looks.append("retire")
            return await retire(keep)

        async def and_sweep() -> int:
            looks.append("sweep")
            return await sweep()

        async def looked_often() -> bool:
            await projector.run_once()
            return looks.count("retire") >= 5

        monkeypatch.setattr(generations, "remove_unused", and_retire)
        monkeypatch.setattr(generations, "remove_orphans", and_sweep)
        await filled(world, projector)
        await eventually(looked_often)
        assert looks.count("sweep") == 1


async def test_the_removal_of_orphans_leaves_registered_generations(world: World) -> None:
    async with world.projector() as projector:
        keys, before = await filled(world, projector)
        names = {key async for key in world.redis.scan_iter(match="tandem:*")}
        assert await world.generations().remove_orphans() == 0
        assert {key async for key in world.redis.scan_iter(match="tandem:*")} == names
        assert await contents(world.redis, keys) == before


async def test_a_generation_that_has_not_applied_the_stream_is_not_activated(world: World) -> None:
    world.commit(ALICE, CREATED)
    await world.relay()
    generations = world.generations()
    keys = await generations.create("projector")
    assert keys is not None
    world.commit(ALICE, UserRenamed(name="Alicia"))
    await world.relay()
    assert not await generations.activate(keys)
    await world.redis.xreadgroup(keys.generation, "projector", {STREAM: ">"})
    assert not await generations.activate(keys)  # read, and not applied
