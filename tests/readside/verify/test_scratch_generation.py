"""Verify works in slices, leaves nothing behind, and compares whatever a projection may write."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from domain.users.events import OrderPlaced, UserCreated, UserEmailUpdated, UserErased, UserRenamed
from readside.projection_set import FINGERPRINT
from readside.redis_functions.functions import Functions
from readside.verify import aggregate_verification, bulk_verification, compared_generations, verify
from readside.verify.aggregate_verification import ScratchAggregate
from readside.verify.scratch_generation import EXPIRY_SECONDS, ScratchGeneration
from readside.verify.verify import Verify
from tests.readside.envelopes import order, user_in
from tests.readside.harness import with_projections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from domain.users.events import UserId
    from readside.projection import Command, ProjectedEvent
    from readside.redis_functions.keys import Keys
    from tests.readside.harness import World

ALICE, *CROWD = (user_in(0, number) for number in range(13))
ORDERS = 40
SCRATCHES = "tandem:*:scratch:*"


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices, pages and generations of a few members, so that everything takes several."""
    for module, name, size in (
        (compared_generations, "MAX_SLICE_MEMBERS", 3),
        (compared_generations, "_MAX_PAIRS", 2),
        (bulk_verification, "MAX_PAGE_EVENTS", 5),
        (bulk_verification, "MAX_SCRATCH_EVENTS", 7),
        (verify, "PAGE", 4),
        (aggregate_verification, "_MAX_READ_ENTRIES", 2),
    ):
        monkeypatch.setattr(module, name, size)


async def filled(world: World, orders: int = ORDERS) -> Keys:
    """A user of many orders among others, in keys that Redis scans in slices; nobody is at work."""
    for kind in ("hash", "zset", "set"):
        await world.redis.config_set(f"{kind}-max-listpack-entries", 0)
    placed = [OrderPlaced(order_id=order(number), total=1) for number in range(orders)]
    world.commit(ALICE, UserCreated(name="Alice", email="alice@example.com"), *placed)
    for number, user in enumerate(CROWD):
        world.commit(user, UserCreated(name=f"U{number}", email=f"u{number}@example.com"))
    await world.build()
    keys = await world.serving()
    assert keys is not None
    return keys


async def scratches(redis: Redis) -> list[str]:
    return [key async for key in redis.scan_iter(match=SCRATCHES)]


@pytest.mark.usefixtures("_small")
async def test_what_differs_in_any_slice_of_a_long_key_is_found_and_nothing_else(
    world: World,
) -> None:
    keys = await filled(world)
    assert (await world.verify().run()).differences == []
    orders = keys.owned_key("orders", ALICE)
    kept: Any = await world.redis.zrange(orders, 0, -1)
    await world.redis.zrem(orders, kept[3])
    await world.redis.zadd(orders, {kept[20]: 1, "more": 5})
    await world.redis.hset(keys.owned_key("closed", ALICE), "odd", "1")
    await world.redis.lset(keys.owned_key("recent", ALICE), 30, "[]")
    await world.redis.zadd(keys.shared_key("emails"), {f"x@example.com\t{CROWD[5]}": 0})
    await world.redis.hset(keys.shared_key("emails-of"), str(CROWD[7]), "x@example.com")
    await world.redis.zrem(keys.shared_key("users"), str(CROWD[11]))
    found = {(one.key, one.field) for one in (await world.verify().run()).differences}
    assert found == {
        ("orders", kept[3]),
        ("orders", kept[20]),
        ("orders", "more"),
        ("closed", ""),
        ("recent", "30"),
        ("emails", f"x@example.com\t{CROWD[5]}"),
        ("emails", "(members)"),
        ("emails-of", str(CROWD[7])),
        ("users", str(CROWD[11])),
        ("users", "(members)"),
    }


@pytest.mark.usefixtures("_small")
async def test_one_user_is_compared_with_members_that_no_event_of_it_has_written(
    world: World,
) -> None:
    keys = await filled(world)
    world.commit(CROWD[0], UserEmailUpdated(email="new@example.com"))
    async with world.projector() as projector:
        await world.settle(projector)
    await world.redis.zadd(keys.shared_key("emails"), {f"u0@example.com\t{CROWD[0]}": 0})
    for user in CROWD[:2]:
        await world.redis.zadd(keys.shared_key("lifetime-values"), {f"{7:019}\t{user}": 0})
    found = await world.verify().of_aggregate(CROWD[0])
    assert {(one.key, one.field, one.aggregate_id) for one in found.differences} == {
        ("emails", f"u0@example.com\t{CROWD[0]}", str(CROWD[0])),
        ("lifetime-values", f"{7:019}\t{CROWD[0]}", str(CROWD[0])),
    }


@pytest.mark.usefixtures("_small")
async def test_a_long_user_who_changes_all_the_time_is_no_difference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look at Redis finds another version, also between two slices of one key."""
    await filled(world)
    call, changes = Functions.call, iter(range(10**6))
    async with world.projector() as projector:
        await world.settle(projector)

        async def and_change(self: Functions, name: str, *rest: Any) -> Any:
            answer = await call(self, name, *rest)
            if name == "compare_keys":
                number = next(changes)
                world.commit(
                    ALICE,
                    UserEmailUpdated(email=f"{number}@example.com"),
                    OrderPlaced(order_id=order(1000 + number), total=1),
                )
                await world.settle(projector)
            return answer

        monkeypatch.setattr(Functions, "call", and_change)
        assert (await world.verify().run()).differences == []
        assert next(changes) > ORDERS // 3


async def _work(world: World, user: UserId) -> tuple[dict[str, int], int]:
    """Calls of each command that a comparison made in Redis, and the most members in one reply."""
    await world.redis.config_resetstat()
    sizes, calls = [0], Functions.call_all

    async def counted(self: Functions, made: Any) -> Any:
        replies = await calls(self, made)
        sizes.extend(
            len(names) for reply in replies if made[0].name == "compare_keys" for _, *names in reply
        )
        sizes.extend(len(call.keys) for call in made)
        return replies

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Functions, "call_all", counted)
        assert (await world.verify().of_aggregate(user)).differences == []
    stats: Any = await world.redis.info("commandstats")
    return {name: each["calls"] for name, each in stats.items()}, max(sizes)


async def test_the_work_grows_with_a_users_orders_and_no_call_does(world: World) -> None:
    await filled(world, 1000)
    placed = [OrderPlaced(order_id=order(5000 + number), total=1) for number in range(2000)]
    world.commit(CROWD[0], *placed)
    async with world.projector() as projector:
        await world.settle(projector)
    small, _ = await _work(world, ALICE)
    large, most = await _work(world, CROWD[0])
    assert most <= 2 * compared_generations.MAX_SLICE_MEMBERS * compared_generations._MAX_PAIRS  # noqa: SLF001
    assert 1.5 < sum(large.values()) / sum(small.values()) < 2.5
    for name in ("hgetall", "zrange", "smembers", "del"):
        assert f"cmdstat_{name}" not in large


async def test_nothing_is_left_and_no_group_ever_holds_back_the_stream(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await filled(world)
    events_of, seen = world.log.events_of, list[object]()

    async def and_look(*arguments: Any) -> AsyncIterator[Any]:
        async for page in events_of(*arguments):
            yield page
            seen.append(await scratches(world.redis))
            groups = await world.redis.xinfo_groups(keys.partition.stream)
            assert [group["name"] for group in groups] == [keys.generation]
            assert set(await world.redis.hvals(keys.partition.generations)) == {
                "live",
                keys.generation,
            }

    monkeypatch.setattr(world.log, "events_of", and_look)
    monkeypatch.setattr(bulk_verification, "MAX_PAGE_EVENTS", 5)
    before = {key async for key in world.redis.scan_iter()}
    assert (await world.verify().run()).differences == []
    assert any(seen)
    assert {key async for key in world.redis.scan_iter()} == before


async def test_what_a_killed_verify_leaves_expires_and_no_sweep_removes_a_running_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(world)

    async def no_longer(_: ScratchGeneration) -> None:
        """A process that was killed removes nothing."""

    async def killed(*_: Any) -> Any:
        raise asyncio.CancelledError

    monkeypatch.setattr(ScratchGeneration, "drop", no_longer)
    monkeypatch.setattr(compared_generations.KeyComparison, "owned_keys", killed)
    with suppress(asyncio.CancelledError):
        await world.verify().run()
    left = await scratches(world.redis)
    assert len(left) > len(CROWD)
    for key in left:
        assert 0 < await world.redis.pttl(key) <= EXPIRY_SECONDS * 1000
    assert await world.generations().remove_orphans() == 0
    assert sorted(await scratches(world.redis)) == sorted(left)


@pytest.mark.usefixtures("_small")
async def test_a_scratch_generation_that_expires_meanwhile_is_no_difference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(world)
    events_of, losses = world.log.events_of, [3]

    async def and_lose(*arguments: Any) -> AsyncIterator[Any]:
        async for page in events_of(*arguments):
            yield page
            if losses[0]:
                losses[0] -= 1
                await world.redis.unlink(*await scratches(world.redis) or ["none"])

    monkeypatch.setattr(world.log, "events_of", and_lose)
    assert (await world.verify().run()).differences == []
    assert losses == [0]


async def test_one_that_expires_before_its_values_are_read_is_no_difference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await filled(world)
    await world.redis.hset(keys.document("user", ALICE), "name", "Mallory")
    read, losses = ScratchAggregate.read, [1]

    async def and_lose(self: ScratchAggregate, places: Any) -> Any:
        if losses[0]:
            losses[0] -= 1
            await world.redis.unlink(*await scratches(world.redis))
        return await read(self, places)

    monkeypatch.setattr(ScratchAggregate, "read", and_lose)
    [found] = (await world.verify().of_aggregate(ALICE)).differences
    assert (found.field, found.should, found.found) == ("name", "Alice", "Mallory")
    assert losses == [0]


@pytest.mark.usefixtures("_small")
async def test_it_is_kept_for_as_long_as_a_comparison_takes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(world)
    kept = list[int]()
    call, pexpire = Functions.call, ScratchGeneration.keep_alive

    async def noted(self: ScratchGeneration) -> None:
        kept.append(0)
        await pexpire(self)

    async def counted(self: Functions, name: str, *rest: Any) -> Any:
        if name == "compare_keys":
            assert kept.pop() == 0
            kept.clear()
        return await call(self, name, *rest)

    monkeypatch.setattr(ScratchGeneration, "keep_alive", noted)
    monkeypatch.setattr(Functions, "call", counted)
    assert (await world.verify().of_aggregate(ALICE)).differences == []


def anything(keys: Keys, happened: ProjectedEvent[Any]) -> list[Command]:
    """A projection with commands that no code of ours knows."""
    user = happened.aggregate_id
    own, shared = keys.owned_key("tags", user), keys.shared_key("tagged")
    if isinstance(happened.data, UserCreated):
        return [("DEL", own), ("SADD", own, "a", "b"), ("SADD", shared, user)]
    if isinstance(happened.data, UserErased):
        return [("DEL", own, keys.owned_key("said", user)), ("SREM", shared, user)]
    return [
        ("SET", keys.owned_key("said", user), happened.occurred_at),
        ("HINCRBYFLOAT", keys.owned_key("sums", user), "sum", "0.5"),
        ("LPUSH", keys.owned_key("latest", user), happened.occurred_at),
    ]


async def test_a_projection_with_any_redis_command_is_compared(world: World) -> None:
    projections = with_projections(anything)
    world.commit(ALICE, UserCreated(name="Alice", email="alice@example.com"), UserRenamed(name="A"))
    world.commit(CROWD[0], UserCreated(name="Bob", email="bob@example.com"))
    world.commit(CROWD[1], UserCreated(name="C", email="c@example.com"), UserErased())
    async with world.projector(projections=projections) as projector:
        await world.settle(projector)
    keys = await world.serving()
    assert keys is not None

    async def found() -> set[tuple[str, str]]:
        looking = Verify(
            world.redis,
            world.log,
            0,
            projections=projections,
            fingerprint=FINGERPRINT,
            timeout_seconds=0.2,
        )
        return {(one.key, one.field) for one in (await looking.run()).differences}

    assert await found() == set()
    await world.redis.srem(keys.owned_key("tags", ALICE), "a")
    await world.redis.sadd(keys.owned_key("tags", CROWD[0]), "c")
    await world.redis.set(keys.owned_key("said", ALICE), "nothing")
    await world.redis.hset(keys.owned_key("sums", ALICE), "sum", "7")
    await world.redis.lpush(keys.owned_key("latest", ALICE), "now")
    await world.redis.sadd(keys.shared_key("tagged"), str(CROWD[1]))
    assert await found() == {
        ("tags", "a"),
        ("tags", "c"),
        ("said", ""),
        ("sums", "sum"),
        ("latest", "0"),
        ("latest", "1"),
        ("tagged", str(CROWD[1])),
        ("tagged", "(members)"),
    }
