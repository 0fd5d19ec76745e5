"""The version gate, on the real function: once, in order, and whoever cannot go on stops alone."""

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
from tests.readside.projection_harness import Told

ALICE = user_in(0, 0)
CREATED = UserCreated(name="Alice", email="alice@example.com")
STORY = story(
    ALICE, CREATED, OrderPlaced(order_id=order(1), total=5), OrderPlaced(order_id=order(2), total=6)
)
LONG = story(ALICE, CREATED, *(UserRenamed(name=f"Alice {n}") for n in range(MAX_BATCH_EVENTS + 9)))


async def deliver(told: Told, *versions: int, publish: bool = True) -> Counter[int]:
    """Delivers these versions of the story, as events that are in the log."""
    return await told.gate_of(ALICE).apply(
        [Delivery(STORY[version - 1]) for version in versions], publish=publish
    )


async def order_count(told: Told, user: UserId = ALICE) -> int:
    row = await users.fetch(told.reads, user)
    return 0 if row is None else row.order_count


async def test_an_event_is_applied_once_however_often_it_comes(told: Told) -> None:
    assert await deliver(told, 1, 2) == {APPLIED: 2}
    assert await deliver(told, 2, 1, 2) == {DUPLICATE: 3}
    assert await order_count(told) == 1


async def test_a_duplicate_changes_nothing_at_all(told: Told) -> None:
    await deliver(told, 1, 2, 3)
    before = await contents(told.redis, told.keys_of(ALICE))
    await deliver(told, 3, 2, 1)
    assert await contents(told.redis, told.keys_of(ALICE)) == before


async def test_missing_events_are_read_from_the_log(told: Told) -> None:
    told.log.commit(STORY)
    assert await deliver(told, 3) == {APPLIED: 3, FILLED: 2}
    assert await order_count(told) == 2


async def test_events_in_the_wrong_order_are_applied_in_the_right_one(told: Told) -> None:
    told.log.commit(STORY)
    await deliver(told, 1, 3, 2)
    row = await users.fetch(told.reads, ALICE)
    assert row is not None
    assert (row.version, row.order_count) == (3, 2)


async def test_a_gap_longer_than_a_call_is_filled(told: Told) -> None:
    told.log.commit(LONG)
    await told.gate_of(ALICE).apply([Delivery(LONG[-1])], publish=True)
    row = await users.fetch(told.reads, ALICE)
    assert row is not None
    assert (row.version, row.name) == (len(LONG), f"Alice {MAX_BATCH_EVENTS + 8}")


async def test_more_events_than_a_call_may_hold_are_applied_in_order(told: Told) -> None:
    outcomes = await told.gate_of(ALICE).apply([Delivery(one) for one in LONG], publish=True)
    assert outcomes == {APPLIED: len(LONG)}


async def test_the_function_writes_nothing_for_a_gap(told: Told) -> None:
    await deliver(told, 1)
    before = await contents(told.redis, told.keys_of(ALICE))
    seen: list[dict[str, object]] = []

    async def looking(user_id: UserId, *_: object) -> list[object]:
        seen.append(await contents(told.redis, told.keys_of(user_id)))
        raise LookupError

    told.log.history = looking  # type: ignore[method-assign, assignment]
    with pytest.raises(LookupError):
        await deliver(told, 3)
    assert seen == [before]


async def test_an_applied_event_is_published_once_and_a_duplicate_never(told: Told) -> None:
    told.log.commit(STORY)
    async with told.redis.pubsub() as pubsub:
        await pubsub.subscribe(Partition(0).user_channel(ALICE))
        await pubsub.get_message(timeout=5)
        await deliver(told, 1, 1, publish=True)
        await deliver(told, 3, 2, 1, publish=True)
        await told.redis.publish(Partition(0).user_channel(ALICE), "end")
        heard = []
        while (message := await pubsub.get_message(timeout=5)) and message["data"] != "end":
            heard.append(message["data"])
    assert heard == ["1", "2", "3"]


async def test_events_from_the_log_of_a_rebuild_are_not_published(told: Told) -> None:
    async with told.redis.pubsub() as pubsub:
        await pubsub.subscribe(Partition(0).user_channel(ALICE))
        await pubsub.get_message(timeout=5)
        await deliver(told, 1, 2, publish=False)
        await told.redis.publish(Partition(0).user_channel(ALICE), "end")
        message = await pubsub.get_message(timeout=5)
    assert message is not None
    assert message["data"] == "end"


async def test_a_void_generation_accepts_no_events(told: Told) -> None:
    keys = told.keys_of(ALICE)
    await told.redis.hset(keys.partition.generations, keys.generation, "void")
    with pytest.raises(GenerationGone):
        await deliver(told, 1)
    assert await contents(told.redis, keys) == {"counters": {"applied": "0"}}


async def test_an_unknown_generation_accepts_no_events(told: Told) -> None:
    keys = told.keys_of(ALICE)
    await told.redis.hdel(keys.partition.generations, keys.generation)
    with pytest.raises(GenerationGone):
        await deliver(told, 1)
    assert await contents(told.redis, keys) == {"counters": {"applied": "0"}}


async def test_two_concurrent_appliers_apply_every_event_once(told: Told) -> None:
    told.log.commit(LONG)
    deliveries = [Delivery(one) for one in LONG]
    gate = told.gate_of(ALICE)
    await asyncio.gather(*(gate.apply(deliveries[start:], publish=True) for start in (0, 40, 200)))
    keys = told.keys_of(ALICE)
    assert await told.redis.hget(keys.counters, "applied") == str(len(LONG))
    assert await told.redis.hget(keys.user_hash(ALICE), "version") == str(len(LONG))


async def test_only_handled_entries_are_acknowledged(told: Told) -> None:
    keys = told.keys_of(ALICE)
    stream = keys.partition.stream
    entries = [str(await told.redis.xadd(stream, {"e": str(number)})) for number in range(3)]
    await told.redis.xreadgroup(keys.generation, "projector", {stream: ">"})
    await told.gate_of(ALICE).apply(
        [Delivery(STORY[0], entries[0]), Delivery(STORY[0], entries[1])], publish=True
    )
    pending = await told.redis.xpending_range(stream, keys.generation, "-", "+", 10)
    assert [one["message_id"] for one in pending] == [entries[2]]


async def test_two_jumps_of_a_user_in_one_batch_are_both_filled(told: Told) -> None:
    told.log.commit(LONG)
    await told.gate_of(ALICE).apply([Delivery(LONG[n]) for n in (1, 0, 4)], publish=True)
    row = await users.fetch(told.reads, ALICE)
    assert row is not None
    assert row.version == 5


async def test_a_gap_does_not_stop_other_users(told: Told) -> None:
    bob = story(user_in(0, 1), CREATED, UserEmailUpdated(email="b@example.com"))
    told.log.commit([*STORY, *bob])
    batch = [Delivery(one) for one in (bob[1], STORY[2], bob[0], STORY[1], STORY[0])]
    await told.gate_of(ALICE).apply(batch, publish=True)
    assert await order_count(told) == 2
    row = await users.fetch(told.reads, user_in(0, 1))
    assert row is not None
    assert row.version == 2
