"""The version gate on the real function: once, in order, and a failure stops one user only."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from domain.users.events import OrderPlaced, UserCreated, UserEmailUpdated, UserId, UserRenamed
from readside.applier import APPLIED, DUPLICATE, FILLED, MAX_BATCH_EVENTS, Delivery
from readside.projections import users
from readside.redis_functions.functions import GenerationGone
from readside.redis_functions.keys import Partition
from tests.readside.contents import contents
from tests.readside.envelopes import order, story, user_in
from tests.readside.projection_harness import ProjectionHarness

ALICE = user_in(0, 0)
CREATED = UserCreated(name="Alice", email="alice@example.com")
STORY = story(
    ALICE, CREATED, OrderPlaced(order_id=order(1), total=5), OrderPlaced(order_id=order(2), total=6)
)
LONG = story(ALICE, CREATED, *(UserRenamed(name=f"Alice {n}") for n in range(MAX_BATCH_EVENTS + 9)))


async def deliver(harness: ProjectionHarness, *versions: int, publish: bool = True) -> Counter[int]:
    """Delivers these versions of the story, as events that are in the log."""
    return await harness.applier_for(ALICE).apply(
        [Delivery(STORY[version - 1]) for version in versions], publish=publish
    )


async def order_count(harness: ProjectionHarness, user: UserId = ALICE) -> int:
    row = await users.fetch(harness.reads, user)
    return 0 if row is None else row.order_count


async def test_an_event_is_applied_once_however_often_it_comes(harness: ProjectionHarness) -> None:
    assert await deliver(harness, 1, 2) == {APPLIED: 2}
    assert await deliver(harness, 2, 1, 2) == {DUPLICATE: 3}
    assert await order_count(harness) == 1


async def test_a_duplicate_changes_nothing_at_all(harness: ProjectionHarness) -> None:
    await deliver(harness, 1, 2, 3)
    before = await contents(harness.redis, harness.keys_of(ALICE))
    await deliver(harness, 3, 2, 1)
    assert await contents(harness.redis, harness.keys_of(ALICE)) == before


async def test_missing_events_are_read_from_the_log(harness: ProjectionHarness) -> None:
    harness.log.commit(STORY)
    assert await deliver(harness, 3) == {APPLIED: 3, FILLED: 2}
    assert await order_count(harness) == 2


async def test_events_in_the_wrong_order_are_applied_in_the_right_one(
    harness: ProjectionHarness,
) -> None:
    harness.log.commit(STORY)
    await deliver(harness, 1, 3, 2)
    row = await users.fetch(harness.reads, ALICE)
    assert row is not None
    assert (row.version, row.order_count) == (3, 2)


async def test_a_gap_longer_than_a_call_is_filled(harness: ProjectionHarness) -> None:
    harness.log.commit(LONG)
    await harness.applier_for(ALICE).apply([Delivery(LONG[-1])], publish=True)
    row = await users.fetch(harness.reads, ALICE)
    assert row is not None
    assert (row.version, row.name) == (len(LONG), f"Alice {MAX_BATCH_EVENTS + 8}")


async def test_more_events_than_a_call_may_hold_are_applied_in_order(
    harness: ProjectionHarness,
) -> None:
    outcomes = await harness.applier_for(ALICE).apply([Delivery(one) for one in LONG], publish=True)
    assert outcomes == {APPLIED: len(LONG)}


async def test_the_function_writes_nothing_for_a_gap(harness: ProjectionHarness) -> None:
    await deliver(harness, 1)
    before = await contents(harness.redis, harness.keys_of(ALICE))
    seen: list[dict[str, object]] = []

    async def looking(user_id: UserId, *_: object) -> list[object]:
        seen.append(await contents(harness.redis, harness.keys_of(user_id)))
        raise LookupError

    harness.log.history = looking  # type: ignore[method-assign, assignment]
    with pytest.raises(LookupError):
        await deliver(harness, 3)
    assert seen == [before]


async def test_an_applied_event_is_published_once_and_a_duplicate_never(
    harness: ProjectionHarness,
) -> None:
    harness.log.commit(STORY)
    async with harness.redis.pubsub() as pubsub:
        await pubsub.subscribe(Partition(0).changes_channel(ALICE))
        await pubsub.get_message(timeout=5)
        await deliver(harness, 1, 1, publish=True)
        await deliver(harness, 3, 2, 1, publish=True)
        await harness.redis.publish(Partition(0).changes_channel(ALICE), "end")
        heard = []
        while (message := await pubsub.get_message(timeout=5)) and message["data"] != "end":
            heard.append(message["data"])
    assert heard == ["1", "2", "3"]


async def test_events_from_the_log_of_a_rebuild_are_not_published(
    harness: ProjectionHarness,
) -> None:
    async with harness.redis.pubsub() as pubsub:
        await pubsub.subscribe(Partition(0).changes_channel(ALICE))
        await pubsub.get_message(timeout=5)
        await deliver(harness, 1, 2, publish=False)
        await harness.redis.publish(Partition(0).changes_channel(ALICE), "end")
        message = await pubsub.get_message(timeout=5)
    assert message is not None
    assert message["data"] == "end"


async def test_a_void_generation_accepts_no_events(harness: ProjectionHarness) -> None:
    keys = harness.keys_of(ALICE)
    await harness.redis.hset(keys.partition.generations, keys.generation, "void")
    with pytest.raises(GenerationGone):
        await deliver(harness, 1)
    assert await contents(harness.redis, keys) == {"counters": {"applied": "0"}}


async def test_an_unknown_generation_accepts_no_events(harness: ProjectionHarness) -> None:
    keys = harness.keys_of(ALICE)
    await harness.redis.hdel(keys.partition.generations, keys.generation)
    with pytest.raises(GenerationGone):
        await deliver(harness, 1)
    assert await contents(harness.redis, keys) == {"counters": {"applied": "0"}}


async def test_two_concurrent_appliers_apply_every_event_once(harness: ProjectionHarness) -> None:
    harness.log.commit(LONG)
    deliveries = [Delivery(one) for one in LONG]
    gate = harness.applier_for(ALICE)
    await asyncio.gather(*(gate.apply(deliveries[start:], publish=True) for start in (0, 40, 200)))
    keys = harness.keys_of(ALICE)
    assert await harness.redis.hget(keys.counters, "applied") == str(len(LONG))
    assert await harness.redis.hget(keys.document("user", ALICE), "version") == str(len(LONG))


async def test_only_handled_entries_are_acknowledged(harness: ProjectionHarness) -> None:
    keys = harness.keys_of(ALICE)
    stream = keys.partition.stream
    entries = [str(await harness.redis.xadd(stream, {"e": str(number)})) for number in range(3)]
    await harness.redis.xreadgroup(keys.generation, "projector", {stream: ">"})
    await harness.applier_for(ALICE).apply(
        [Delivery(STORY[0], entries[0]), Delivery(STORY[0], entries[1])], publish=True
    )
    pending = await harness.redis.xpending_range(stream, keys.generation, "-", "+", 10)
    assert [one["message_id"] for one in pending] == [entries[2]]


async def test_two_jumps_of_a_user_in_one_batch_are_both_filled(harness: ProjectionHarness) -> None:
    harness.log.commit(LONG)
    await harness.applier_for(ALICE).apply([Delivery(LONG[n]) for n in (1, 0, 4)], publish=True)
    row = await users.fetch(harness.reads, ALICE)
    assert row is not None
    assert row.version == 5


async def test_a_gap_does_not_stop_other_users(harness: ProjectionHarness) -> None:
    bob = story(user_in(0, 1), CREATED, UserEmailUpdated(email="b@example.com"))
    harness.log.commit([*STORY, *bob])
    batch = [Delivery(one) for one in (bob[1], STORY[2], bob[0], STORY[1], STORY[0])]
    await harness.applier_for(ALICE).apply(batch, publish=True)
    assert await order_count(harness) == 2
    row = await users.fetch(harness.reads, user_in(0, 1))
    assert row is not None
    assert row.version == 2
