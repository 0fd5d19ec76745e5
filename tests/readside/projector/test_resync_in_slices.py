"""A user with many events is resynced in slices: others wait for one, and a dead projector loses none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from domain.envelope import Envelope
from domain.users.events import (
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserId,
    UserRenamed,
)
from readside import applier as gating
from readside.applier import EventApplier
from readside.projections import users_by_email
from readside.projector import projector as projecting
from readside.redis_functions.functions import FunctionCall, Functions
from tests.readside.contents import contents
from tests.readside.envelopes import order, spoilt, story, user_in
from tests.readside.harness import advance_while_verify_waits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from readside.queries.reader import ReadModel
    from readside.redis_functions.keys import Keys
    from tests.readside.harness import World

ALICE, BOB = user_in(0, 0), user_in(0, 1)
SLICE, ORDERS = 10, 65
CREATED = UserCreated(name="Alice", email="alice@example.com")
PLACED = [OrderPlaced(order_id=order(number), total=1) for number in range(ORDERS)]


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "_RESYNC_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(gating, "MAX_BATCH_EVENTS", SLICE)
    monkeypatch.setattr(gating, "MAX_SLICE_EVENTS", SLICE)


async def filled(world: World) -> Keys:
    """Returns a read model with a user of many orders and another user, and no projector."""
    if not world.log.committed:
        world.commit(ALICE, CREATED, *PLACED)
    world.commit(BOB, UserCreated(name="Bob", email="bob@example.com"))
    await world.build()
    keys = await world.serving()
    assert keys is not None
    return keys


async def hidden(world: World, keys: Keys) -> bool:
    return bool(await world.redis.hexists(keys.document("user", ALICE), "until"))


async def same(world: World, keys: Keys, before: dict[str, Any]) -> bool:
    after = await contents(world.redis, keys)
    return {**after, "counters": {}} == {**before, "counters": {}}


async def test_events_of_others_are_applied_between_any_two_slices(world: World) -> None:
    keys = await filled(world)
    before = await contents(world.redis, keys)
    await world.redis.sadd(keys.needs_resync, str(ALICE))
    passes = 0
    async with world.projector() as projector:
        while await projector.run_once() or not passes:
            if not await hidden(world, keys):
                continue
            passes += 1
            version = world.commit(BOB, UserRenamed(name="Bob"))
            await world.relay()
            await projector.run_once()
            assert await world.version_of(BOB) == version
    assert passes >= ORDERS // SLICE // 2
    after = await contents(world.redis, keys)
    for name in ("user", "orders", "recent"):
        assert after[f"{name}:{ALICE}"] == before[f"{name}:{ALICE}"]


async def test_an_event_after_a_long_gap_waits_for_its_slices_and_no_other_user_waits(
    world: World,
) -> None:
    keys = await filled(world)
    await world.redis.delete(keys.document("user", ALICE))
    version = world.commit(ALICE, UserRenamed(name="Alicia"))
    world.commit(ALICE, UserRenamed(name="Al"))
    world.commit(BOB, UserRenamed(name="Rob"))
    await world.relay()
    async with world.projector() as projector:
        while await world.version_of(BOB) < 2:
            await projector.run_once()
        assert await hidden(world, keys)
        assert await world.version_of(ALICE) < ORDERS // 2
        assert await world.pending() == 0
        await world.settle(projector)
    found = await world.hash_of(ALICE)
    assert (found["version"], found["name"]) == (str(version + 1), "Al")
    assert "until" not in found
    assert await world.redis.exists(keys.needs_resync) == 0


async def test_many_small_gaps_are_not_filled_in_one_pass(world: World) -> None:
    """Each gap is small; together they would delay users without one."""
    keys = await filled(world)
    crowd = [user_in(0, number) for number in range(2, 12)]
    for user in crowd:
        world.commit(user, CREATED, *PLACED[: SLICE - 2])
    async with world.projector() as projector:
        await world.settle(projector)
        await world.redis.delete(*(keys.document("user", user) for user in crowd))
        for user in crowd:
            world.commit(user, UserRenamed(name="Anew"))
        await world.relay()
        while not await world.redis.exists(keys.needs_resync):
            await projector.run_once()
        await world.settle(projector)
    assert [await world.version_of(user) for user in crowd] == [SLICE] * len(crowd)


async def test_a_small_gap_before_many_events_is_filled_without_reading_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in the stream, where others have their turn between them."""
    keys = await filled(world)
    before = world.commit(ALICE, UserRenamed(name="Al"))
    async with world.projector() as projector:
        await world.settle(projector)
        await world.redis.hset(
            keys.document("user", ALICE), "version", before - 1
        )  # as if it had been lost
        last = world.commit(ALICE, *[UserRenamed(name="Alicia")] * 6 * SLICE)
        read, history = list[Envelope](), world.log.history

        async def counted(*arguments: Any) -> list[Envelope]:
            read.extend(found := await history(*arguments))
            return found

        monkeypatch.setattr(world.log, "history", counted)
        await world.relay()
        await projector.run_once()
        assert [event.version for event in read] == [before]
        await world.settle(projector)
    assert await world.version_of(ALICE) == last
    assert not await hidden(world, keys)
    assert await world.redis.exists(keys.needs_resync) == 0


async def test_a_killed_resync_is_continued_by_another_process(world: World) -> None:
    keys = await filled(world)
    before = await contents(world.redis, keys)
    await world.redis.sadd(keys.needs_resync, str(ALICE))
    reached = []
    for _ in range(ORDERS):
        async with world.projector() as projector:
            await projector.run_once()
            await projector.run_once()
        if not await hidden(world, keys):
            break
        reached.append(await world.version_of(ALICE))
    assert len(reached) >= 3
    assert reached == sorted(set(reached))
    assert await same(world, keys, before)
    assert await world.redis.exists(keys.needs_resync) == 0


async def test_two_resyncs_of_the_same_user_do_no_harm(world: World) -> None:
    keys = await filled(world)
    before = await contents(world.redis, keys)
    await asyncio.gather(*(world.steering().resync_aggregate(ALICE) for _ in range(3)))
    async with world.projector() as projector:
        await world.settle(projector)
    assert await same(world, keys, before)
    assert await world.redis.exists(keys.needs_resync) == 0


async def test_events_deferred_at_the_end_are_applied(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process applies the last slice, then an event is deferred, then it says that it has done."""
    keys = await filled(world)
    resync = EventApplier.resync_aggregate

    async def and_more_happens(self: EventApplier, *arguments: Any) -> None:
        await resync(self, *arguments)
        version = world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.redis.hset(keys.document("user", ALICE), "until", version)
        await world.redis.sadd(keys.needs_resync, str(ALICE))

    monkeypatch.setattr(EventApplier, "resync_aggregate", and_more_happens)
    await world.steering().resync_aggregate(ALICE)
    async with world.projector() as projector:
        while await hidden(world, keys):
            await projector.run_once()
    assert (await world.hash_of(ALICE))["name"] == "Alicia"


async def test_an_erasure_between_two_slices_leaves_no_entry_of_an_order(world: World) -> None:
    """The slices refill the set from which an erasure takes the entries of the index.

    Until then the user keeps its places in lists.
    """
    keys = await filled(world)
    await world.redis.sadd(keys.needs_resync, str(ALICE))
    async with world.projector() as projector:
        await projector.run_once()
        while not await hidden(world, keys):
            await projector.run_once()
        assert await world.version_of(ALICE) < ORDERS
        erased = world.commit(ALICE, UserErased())
        await world.relay()
        before, waits = await indexes(world, keys), 0
        while await projector.run_once() or await hidden(world, keys):
            if await world.version_of(ALICE) < erased - 1:
                waits += 1
                after = await indexes(world, keys)
                assert {**after, "orders-by-id": {}} == {**before, "orders-by-id": {}}
        assert waits > 2
    assert await world.version_of(ALICE) == erased
    assert await world.redis.zcard(keys.shared_key("orders-by-id")) == 0
    left = await contents(world.redis, keys)
    assert left[f"user:{ALICE}"] == {"version": str(erased)}
    assert f"orders:{ALICE}" not in left


async def indexes(world: World, keys: Keys) -> dict[str, Any]:
    """Returns what sorted lists and filters read."""
    found = await contents(world.redis, keys)
    return {
        name: members
        for name, members in found.items()
        if name.startswith(("emails", "names", "lifetime-values", "users", "orders-by-id"))
    }


RENAMED = [UserRenamed(name="Zoe"), UserEmailUpdated(email="zoe@example.com")]
COMPLETED = [OrderCompleted(order_id=order(number), total=1) for number in range(ORDERS)]


async def test_a_user_keeps_its_places_in_sorted_lists_while_it_is_resynced(
    world: World, reads: ReadModel
) -> None:
    world.commit(ALICE, CREATED, *PLACED, *RENAMED, *COMPLETED)
    keys = await filled(world)
    before = await indexes(world, keys)
    await world.redis.sadd(keys.needs_resync, str(ALICE))
    passes = 0
    async with world.projector() as projector:
        while await projector.run_once() or not passes:
            assert await indexes(world, keys) == before
            if await hidden(world, keys):
                passes += 1
                assert await users_by_email.find(reads, "alice@example.com") == []
                assert await users_by_email.find(reads, "zoe@example.com") == [ALICE]
        world.commit(ALICE, UserRenamed(name="Al"))
        await world.settle(projector)
        assert await world.serving() == keys  # whose recorded sizes are checked
    assert passes > ORDERS // SLICE
    assert (await world.redis.zrange(keys.shared_key("names"), 0, 0)) == [f"al\t{ALICE}"]
    assert not await world.redis.exists(f"{keys.needs_resync}:{ALICE}")


async def test_a_user_that_its_resync_parks_has_the_places_of_the_version_that_is_shown(
    world: World,
) -> None:
    world.commit(ALICE, CREATED, *PLACED, *RENAMED, *COMPLETED[:SLICE])
    keys = await filled(world)
    history = world.log.committed[0]
    history[ORDERS + 2] = spoilt(history[ORDERS + 2], schema=99)  # the new address
    await world.redis.sadd(keys.needs_resync, str(ALICE))
    async with world.projector() as projector:
        await world.settle(projector)
    assert await world.redis.hexists(keys.parked, str(ALICE))
    assert (await world.hash_of(ALICE))["name"] == "Zoe"
    found = await indexes(world, keys)
    assert found["names-of"][str(ALICE)] == "zoe"
    assert found["emails-of"][str(ALICE)] == "alice@example.com"
    assert found["lifetime-values-of"][str(ALICE)] == "0"
    assert not await world.redis.exists(f"{keys.needs_resync}:{ALICE}")


async def test_verify_compares_a_user_again_once_its_resync_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the resync takes, as long as it advances."""
    keys = await filled(world)
    await world.redis.sadd(keys.needs_resync, str(ALICE))
    async with world.projector() as projector:
        while not await hidden(world, keys):
            await projector.run_once()
        sleeps = advance_while_verify_waits(monkeypatch, projector)
        result = await world.verify(patience=0.1).run()
    assert result.differences == []
    assert len(sleeps) > ORDERS // SLICE // 2


async def test_an_erased_user_is_resynced_by_one_event(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.commit(ALICE, CREATED, *PLACED, UserErased())
    await world.build()
    keys = await world.serving()
    assert keys is not None
    read: list[str] = []
    history = world.log.history

    async def counted(*arguments: Any) -> list[Envelope]:
        found = await history(*arguments)
        read.extend(event.type for event in found)
        return found

    monkeypatch.setattr(world.log, "history", counted)
    before = await contents(world.redis, keys)
    await world.redis.delete(keys.document("user", ALICE))
    await world.steering().resync_aggregate(ALICE)
    assert read == ["UserErased"]
    assert await same(world, keys, before)


@pytest.mark.parametrize(("user", "missing"), [(BOB, 2), (user_in(0, 2), 1)])
async def test_an_entry_far_ahead_of_the_log_parks_its_user(
    world: World, user: UserId, missing: int
) -> None:
    """Also if the log has no event of the user at all."""
    keys = await filled(world)
    [foreign] = story(user, UserRenamed(name="Mallory"), after=100)
    await world.redis.xadd(keys.partition.stream, {"e": msgspec.json.encode(foreign)})
    async with world.projector() as projector:
        await world.settle(projector)
    why = await world.redis.hget(keys.parked, str(user))
    assert why is not None
    assert f"version {missing} is missing from the event log" in why
    assert not await world.redis.hexists(keys.document("user", user), "until")
    assert await world.redis.exists(keys.needs_resync) == 0


async def test_no_call_applies_or_reads_more_than_a_slice_and_keys_are_unlinked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await filled(world)
    sizes: list[int] = []
    calls, history = Functions.call_all, world.log.history

    async def counted(self: Functions, made: Sequence[FunctionCall]) -> list[Any]:
        applied = [call for call in made if call.name == "apply"]
        sizes.extend(len(msgspec.msgpack.decode(call.arguments[1])) for call in applied)  # type: ignore[arg-type]
        return await calls(self, made)

    async def read(user: Any, after: int, limit: int | None = None) -> list[Envelope]:
        assert 0 < (limit or 0) <= SLICE
        return await history(user, after, limit)

    monkeypatch.setattr(Functions, "call_all", counted)
    monkeypatch.setattr(world.log, "history", read)
    await world.redis.config_resetstat()
    await world.redis.sadd(keys.needs_resync, str(ALICE))
    async with world.projector() as projector:
        await world.settle(projector)
        world.commit(ALICE, UserErased())
        await world.settle(projector)
        await world.redis.delete(keys.document("user", BOB))
        world.commit(BOB, UserRenamed(name="Rob"))
        await world.settle(projector)
    assert max(sizes) == SLICE
    done: Any = await world.redis.info("commandstats")
    assert done["cmdstat_unlink"]["calls"] > 0
    assert done["cmdstat_del"]["calls"] <= 2  # the lease, and what this test has deleted


async def test_a_postponed_command_that_fails_parks_its_user_before_the_event_that_ends_the_resync(
    world: World,
) -> None:
    keys = await filled(world)
    last = await world.version_of(ALICE)
    held = keys.held(ALICE)
    await world.redis.sadd(keys.needs_resync, str(ALICE))
    async with world.projector() as projector:
        while not await world.redis.exists(held):
            await projector.run_once()
        [field] = [one for one in await world.redis.hkeys(held) if "REINDEX_NUMBER" in one]
        await world.redis.hset(held, field, "no number")
        await world.settle(projector)
    parked = msgspec.json.decode(await world.redis.hget(keys.parked, str(ALICE)) or "null")
    assert parked["version"] == last
    assert await world.version_of(ALICE) == last - 1
    assert not await hidden(world, keys)
    assert not await world.redis.exists(held)
