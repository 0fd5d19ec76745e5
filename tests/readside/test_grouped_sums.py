"""Grouped sums: users per e-mail domain and revenue per month, whatever happens on the way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from domain.users import events
from domain.users.events import (
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserEvent,
    UserRenamed,
)
from readside.errors import ReadModelRebuilding
from readside.generations.replay import pages
from readside.projection_set import FINGERPRINT
from readside.queries.grouped_sums import read_sums
from readside.redis_functions.functions import Functions, GenerationGone
from readside.verify.verify import Verify
from tests.readside.contents import contents
from tests.readside.envelopes import order, story, user_in
from tests.readside.harness import with_projections
from tests.readside.sums_of_users import DOMAINS, REVENUE, revenue_per_month, users_per_domain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from domain.envelope import Envelope
    from readside.projection import Command, ProjectedEvent
    from readside.redis_functions.keys import Keys
    from tests.readside.harness import World
    from tests.readside.projection_harness import ProjectionHarness

ALICE, BOB, CAROL, DAVE = user_in(0), user_in(1), user_in(0, 1), user_in(0, 2)
MAX = 2**63 - 1


PROJECTIONS = with_projections(users_per_domain, revenue_per_month)


def created(name: str, domain: str = "a.example") -> UserCreated:
    return UserCreated(name=name, email=f"{name}@{domain}")


def moved(name: str, domain: str) -> UserEmailUpdated:
    return UserEmailUpdated(email=f"{name}@{domain}")


def bought(number: int, total: int) -> tuple[UserEvent, UserEvent]:
    return (
        OrderPlaced(order_id=order(number), total=total),
        OrderCompleted(order_id=order(number), total=total),
    )


@pytest.fixture
async def sums(harness: ProjectionHarness) -> ProjectionHarness:
    await harness.begin(PROJECTIONS)
    return harness


async def per_domain(harness: ProjectionHarness) -> dict[str, int]:
    return await read_sums(harness.reads, DOMAINS)


async def parked(harness: ProjectionHarness, user: events.UserId) -> str | None:
    reason: Any = await harness.redis.hget(harness.keys_of(user).parked, str(user))
    return None if reason is None else msgspec.json.decode(reason)["reason"]


async def test_what_users_contribute_is_added_up_over_all_partitions(
    sums: ProjectionHarness,
) -> None:
    await sums.given(created("alice"), user=ALICE)
    await sums.given(created("bob"), user=BOB)
    await sums.given(created("carol", "b.example"), user=CAROL)
    assert await per_domain(sums) == {"a.example": 2, "b.example": 1}


async def test_a_contribution_moves_and_is_withdrawn_and_an_empty_group_is_removed(
    sums: ProjectionHarness,
) -> None:
    await sums.given(created("alice"), moved("alice", "b.example"), user=ALICE)
    assert await per_domain(sums) == {"b.example": 1}
    await sums.given(UserErased(), user=ALICE)
    assert await per_domain(sums) == {}
    assert await sums.redis.exists(sums.keys_of(ALICE).shared_key("domains-of")) == 0


async def test_revenue_is_added_up_by_the_month_in_utc(sums: ProjectionHarness) -> None:
    envelopes = story(ALICE, created("alice"), *bought(1, 100), *bought(2, 30), *bought(3, 5))
    late = envelopes[-1].occurred_at.replace(month=3, day=31, hour=23, minute=59)
    envelopes[-1] = msgspec.structs.replace(envelopes[-1], occurred_at=late)
    next_month = story(ALICE, *bought(4, 7), after=7)
    april = late.replace(month=4, day=1, hour=0, minute=0)
    next_month[1] = msgspec.structs.replace(next_month[1], occurred_at=april)
    await sums.deliver(ALICE, [*envelopes, *next_month])
    await sums.given(created("bob"), *bought(5, 1000), user=BOB)
    assert await read_sums(sums.reads, REVENUE) == {"2026-03": 1135, "2026-04": 7}
    assert await sums.redis.hget(sums.keys_of(ALICE).shared_key("revenue-of"), str(ALICE)) == (
        "135 2026-03\n7 2026-04"
    )


async def test_a_resync_and_a_repeated_event_change_nothing(sums: ProjectionHarness) -> None:
    told = created("alice"), *bought(1, 100), moved("alice", "b.example"), *bought(2, 30)
    await sums.given(*told, user=ALICE)
    await sums.given(created("carol"), *bought(3, 1), user=CAROL)
    before = await contents(sums.redis, sums.keys_of(ALICE))
    await sums.applier_for(ALICE).resync_aggregate(ALICE)
    await sums.applier_for(ALICE).resync_aggregate(CAROL)
    after = await contents(sums.redis, sums.keys_of(ALICE))
    assert before.pop("counters") != after.pop("counters")  # the number of events applied
    assert after == before


async def test_a_rebuild_ends_as_event_by_event(sums: ProjectionHarness) -> None:
    await sums.given(created("alice"), *bought(1, 100), moved("alice", "b.example"), user=ALICE)
    await sums.given(created("carol"), *bought(2, 5), *bought(3, -5), user=CAROL)
    await sums.given(created("dave"), *bought(4, MAX - 100), UserErased(), user=DAVE)
    by_event = await contents(sums.redis, sums.keys_of(ALICE))
    keys = await sums.generations(0).create("projector")
    assert keys is not None
    gate = sums.applier_for(ALICE)
    built = type(gate)(Functions(sums.redis), sums.log, keys, PROJECTIONS)

    async def log() -> AsyncIterator[tuple[int, list[Envelope]]]:
        yield 1, sums.log.committed[0]

    async for page in pages(keys, log(), PROJECTIONS):
        assert all(delivery.folded is not None for delivery in page.deliveries)
        await built.apply(page.deliveries, publish=False)
    folded = await contents(sums.redis, keys)
    assert folded.pop("counters") == by_event.pop("counters")
    assert folded == by_event
    assert by_event["domains"] == {"a.example": "1", "b.example": "1"}
    assert by_event["revenue"] == {"2026-03": "100"}


async def test_sums_are_exact_beyond_the_doubles_of_lua_and_negative(
    sums: ProjectionHarness,
) -> None:
    exact = 2**53 + 1
    await sums.given(created("alice"), *bought(1, exact), *bought(2, exact), user=ALICE)
    await sums.given(created("carol"), *bought(3, -1), *bought(4, -2), user=CAROL)
    assert await read_sums(sums.reads, REVENUE) == {"2026-03": 2 * exact - 3}
    await sums.given(UserErased(), user=ALICE)
    assert await read_sums(sums.reads, REVENUE) == {"2026-03": -3}


@pytest.mark.parametrize("total", [1, MAX, MAX + 1, -(2**63)])
async def test_a_sum_that_would_overflow_parks_the_user_and_stays(
    sums: ProjectionHarness, total: int
) -> None:
    await sums.given(created("alice"), *bought(1, MAX), user=ALICE)
    before = await sums.redis.hgetall(sums.keys_of(ALICE).shared_key("revenue-of"))
    await sums.given(created("carol"), *bought(2, total), user=CAROL)
    assert await parked(sums, CAROL) is not None
    assert await read_sums(sums.reads, REVENUE) == {"2026-03": MAX}
    assert await sums.redis.hgetall(sums.keys_of(ALICE).shared_key("revenue-of")) == before


async def test_a_contribution_that_cannot_move_stays_where_it_is(sums: ProjectionHarness) -> None:
    def by_name(keys: Keys, event: ProjectedEvent[Any]) -> list[Command]:
        if isinstance(event.data, UserCreated | UserRenamed):
            group, _, amount = event.data.name.partition(" ")
            return [DOMAINS.contribute(keys, event, group, int(amount))]
        return []

    await sums.begin(with_projections(by_name))
    await sums.given(UserCreated(name=f"full {MAX}", email="a@example.com"), user=ALICE)
    await sums.given(UserCreated(name="other 3", email="c@example.com"), user=CAROL)
    await sums.given(UserRenamed(name="full 3"), user=CAROL)
    assert "overflow" in str(await parked(sums, CAROL))
    assert await per_domain(sums) == {"full": MAX, "other": 3}
    await sums.given(UserRenamed(name="line\nbreak 3"), user=ALICE)
    assert "line break" in str(await parked(sums, ALICE))


async def test_lost_groups_are_detected_before_they_are_read_or_built_on(
    sums: ProjectionHarness,
) -> None:
    await sums.given(created("alice"), user=ALICE)
    keys = sums.keys_of(ALICE)
    await sums.redis.hdel(keys.shared_key("domains"), "a.example")
    with pytest.raises(ReadModelRebuilding):
        await per_domain(sums)
    [more] = story(CAROL, created("carol"))
    with pytest.raises(GenerationGone):
        await sums.deliver(CAROL, [more])


async def _filled(world: World) -> Keys:
    world.commit(ALICE, created("alice"), *bought(1, 100))
    world.commit(CAROL, created("carol", "b.example"), *bought(2, 2**60 + 1))
    world.commit(DAVE, created("dave"), *bought(3, 1), UserErased())
    async with world.projector(projections=PROJECTIONS) as projector:
        await world.settle(projector)
    keys = await world.serving()
    assert keys is not None
    return keys


def _verify(world: World) -> Verify:
    return Verify(
        world.redis,
        world.log,
        0,
        projections=PROJECTIONS,
        fingerprint=FINGERPRINT,
        timeout_seconds=0.2,
    )


async def test_verify_compares_sums_as_a_whole_and_contributions_one_by_one(world: World) -> None:
    keys = await _filled(world)
    assert (await _verify(world).run()).differences == []
    await world.redis.hset(keys.shared_key("domains"), "b.example", "7")
    await world.redis.hset(keys.shared_key("domains"), "c.example", "1")
    await world.redis.hset(keys.shared_key("revenue-of"), str(ALICE), "99 2026-03")
    await world.redis.hset(keys.shared_key("revenue-of"), str(DAVE), "1 2026-03")
    before = {key async for key in world.redis.scan_iter()}
    found = (await _verify(world).run()).differences
    assert all(one.shared for one in found)
    assert {
        (one.key, one.field, one.should, one.found) for one in found if one.key[-3:] != "-of"
    } == {
        ("domains", "b.example", "1", "7"),
        ("domains", "c.example", None, "1"),
        ("domains", "(members)", "2", 3),
    }
    assert {(one.key, one.field) for one in found if one.key == "revenue-of"} == {
        ("revenue-of", str(ALICE)),
        ("revenue-of", str(DAVE)),
        ("revenue-of", "(members)"),
    }
    assert {key async for key in world.redis.scan_iter()} == before


async def test_the_verification_of_one_aggregate_compares_the_sums_that_it_contributes_to(
    world: World,
) -> None:
    keys = await _filled(world)
    assert (await _verify(world).of_aggregate(ALICE)).differences == []
    await world.redis.hset(keys.shared_key("domains"), "b.example", "7")
    for user in (ALICE, CAROL):
        [found] = (await _verify(world).of_aggregate(user)).differences
        assert (found.key, found.field, found.shared) == ("domains", "b.example", True)


async def test_verify_finds_no_difference_while_contributions_move(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await _filled(world)
    call, moves = Functions.call, list[int]()
    async with world.projector(projections=PROJECTIONS) as projector:

        async def and_move(self: Functions, name: str, *rest: Any) -> Any:
            reply = await call(self, name, *rest)
            if name in {"copy_keys", "compare_keys"}:
                moves.append(len(moves))
                domain = f"{len(moves) % 3}.example"
                world.commit(ALICE, moved("alice", domain), *bought(10 + len(moves), 5))
                await world.settle(projector)
            return reply

        monkeypatch.setattr(Functions, "call", and_move)
        assert (await _verify(world).run()).differences == []
    assert len(moves) > 3
    assert await world.redis.hget(keys.shared_key("revenue"), "2026-03") == str(
        2**60 + 101 + 5 * len(moves)
    )


async def test_copies_that_expire_meanwhile_are_no_difference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _filled(world)
    call, losses = Functions.call, [1, 2]

    async def and_lose(self: Functions, name: str, keys: Any, *rest: Any) -> Any:
        reply = await call(self, name, keys, *rest)
        if name == "copy_keys" and losses:
            await world.redis.unlink(keys[2 * losses.pop() - 1])
        return reply

    monkeypatch.setattr(Functions, "call", and_lose)
    assert (await _verify(world).run()).differences == []
    assert losses == []


async def test_concurrent_writers_of_one_partition_lose_no_contribution(
    sums: ProjectionHarness,
) -> None:
    crowd = [user_in(0, number) for number in range(20)]
    await asyncio.gather(
        *(sums.given(created(f"u{n}"), *bought(n, n), user=user) for n, user in enumerate(crowd))
    )
    assert await per_domain(sums) == {"a.example": 20}
    assert await read_sums(sums.reads, REVENUE) == {"2026-03": sum(range(20))}
