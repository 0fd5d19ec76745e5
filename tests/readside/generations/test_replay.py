"""Folded writes of a rebuild: the same contents as event by event, and poison parks at its own event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.runtime import drivers
from api.settings import Settings
from domain.envelope import Envelope
from domain.users.events import OrderCompleted, OrderPlaced, UserCreated, UserRenamed
from readside.applier import APPLIED, DUPLICATE, PARKED, Delivery, EventApplier
from readside.generations.rebuild import PAGE
from readside.generations.registry import Generations
from readside.generations.replay import pages
from readside.projection_set import PROJECTIONS
from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import Keys, Partition
from readside.redis_functions.stream import RedisStream
from tests.readside.contents import contents
from tests.readside.envelopes import order, spoilt, story, user_in
from tests.readside.harness import with_projections
from tests.readside.memory_log import Log, relay
from tests.readside.projections.test_any_order import histories

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from readside.projection import Command, ProjectedEvent, Projections
    from tests.readside.harness import World
    from tests.readside.projection_harness import ProjectionHarness

ALICE, BOB = user_in(0, 0), user_in(0, 1)
CREATED = UserCreated(name='A/l"ïce', email="alice@example.com")
RENAMED = UserRenamed(name="Alicia")
PLACED = OrderPlaced(order_id=order(1), total=5)
STORY = story(ALICE, CREATED, RENAMED, PLACED)


async def whole(
    keys: Keys, events: list[Envelope], projections: Projections = PROJECTIONS
) -> list[Delivery]:
    """The deliveries of a page that has these events."""

    async def log() -> AsyncIterator[tuple[int, list[Envelope]]]:
        yield 1, events

    [page] = [page async for page in pages(keys, log(), projections)]
    return page.deliveries


@given(histories(), st.data())
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_folded_write_equals_event_by_event(
    redis_url: str, lives: list[list[Envelope]], data: st.DataObject
) -> None:
    """Also for whom something is there already: what an interrupted rebuild has left."""
    before = [event for life in lives for event in life[: data.draw(st.integers(0, len(life)))]]
    asyncio.run(_compare(Settings(redis_url=redis_url, partitions=1), lives, before))


async def _compare(settings: Settings, lives: list[list[Envelope]], before: list[Envelope]) -> None:
    events = [event for life in lives for event in life]
    async with drivers.redis_for_functions(settings) as redis:
        await redis.flushall()
        await relay(Log(), RedisStream(redis))
        one_by_one, at_once = await _gate(redis), await _gate(redis)
        await one_by_one.apply([Delivery(event) for event in events], publish=False)
        await at_once.apply([Delivery(event) for event in before], publish=False)
        deliveries = await whole(at_once.keys, events)
        assert all(
            len(life) == 1 or one.folded for life, one in zip(lives, deliveries, strict=True)
        )
        for _ in range(2):
            await at_once.apply(deliveries, publish=False)
        assert await _meaning(redis, at_once) == await _meaning(redis, one_by_one)


async def _gate(redis: Redis) -> EventApplier:
    keys = await Generations(redis, Partition(0), "any").create("projector")
    assert keys is not None
    return EventApplier(Functions(redis), Log(), keys, PROJECTIONS)


async def _meaning(redis: Redis, gate: EventApplier) -> dict[str, Any]:
    """What is there; the same JSON may be written in several ways."""
    found = await contents(redis, gate.keys)
    sizes: Any = await redis.hgetall(gate.keys.counters)
    names = {name.replace(gate.keys.generation, ""): size for name, size in sizes.items()}
    said = {
        key: [json.loads(row) for row in value] if key.startswith("recent") else value
        for key, value in found.items()
    }
    return {**said, "sizes": {name: size for name, size in names.items() if "size:" in name}}


async def test_a_folded_write_of_applied_events_is_a_duplicate(harness: ProjectionHarness) -> None:
    gate = harness.applier_for(ALICE)
    [life] = await whole(gate.keys, STORY)
    assert await gate.apply([life], publish=False) == {APPLIED: 1}
    later = story(ALICE, UserRenamed(name="Al"), after=3)
    await gate.apply([Delivery(one) for one in later], publish=True)
    before = await contents(harness.redis, gate.keys)
    assert await gate.apply([life], publish=False) == {DUPLICATE: 1}
    assert await contents(harness.redis, gate.keys) == before


async def test_the_longest_history_that_fits_a_page_is_one_write(
    harness: ProjectionHarness,
) -> None:
    ordered = [
        event
        for number in range(PAGE // 2)
        for event in (
            OrderPlaced(order_id=order(number), total=5),
            OrderCompleted(order_id=order(number), total=5),
        )
    ]
    gate = harness.applier_for(ALICE)
    life = story(ALICE, CREATED, *ordered)[:PAGE]
    assert await gate.apply(await whole(gate.keys, life), publish=False) == {APPLIED: 1}


async def test_a_parked_user_stays_parked_after_a_folded_write(harness: ProjectionHarness) -> None:
    gate = harness.applier_for(ALICE)
    bad = spoilt(STORY[1], type="UserPromoted")
    await gate.apply([Delivery(STORY[0]), Delivery(bad)], publish=False)
    assert await gate.apply(await whole(gate.keys, STORY), publish=False) == {PARKED: 1}
    assert await harness.redis.hget(gate.keys.document("user", ALICE), "version") == "1"


def raises(keys: Keys, happened: ProjectedEvent[Any]) -> list[Command]:
    return [] if happened.data != RENAMED else [("HSET", keys.shared_key("any"), str(1 // 0))]


def is_refused_by_redis(keys: Keys, happened: ProjectedEvent[Any]) -> list[Command]:
    return (
        []
        if happened.data != RENAMED
        else [("ZADD", keys.shared_key("any"), "none", happened.aggregate_id)]
    )


def cannot_be_sent(keys: Keys, happened: ProjectedEvent[Any]) -> list[Command]:
    return [] if happened.data != RENAMED else [("HSET", keys.shared_key("any"), "any", "\ud800")]


def is_not_known(keys: Keys, happened: ProjectedEvent[Any]) -> list[Command]:
    return [] if happened.data != RENAMED else [("NOSUCH", keys.shared_key("any"))]


@pytest.mark.parametrize("stumbles", [raises, is_refused_by_redis, cannot_be_sent, is_not_known])
async def test_poison_among_folded_events_parks_its_user_at_that_event_and_no_other(
    harness: ProjectionHarness, stumbles: Callable[[Keys, ProjectedEvent[Any]], list[Command]]
) -> None:
    projections = {"user": (stumbles, *PROJECTIONS["user"])}
    await harness.begin(projections)
    gate = harness.applier_for(ALICE)
    bob = story(BOB, UserCreated(name="Bob", email="bob@example.com"), PLACED)
    harness.log.commit([*STORY, *bob])
    await gate.apply(await whole(gate.keys, [*STORY, *bob], projections), publish=False)
    why: Any = await harness.redis.hgetall(gate.keys.parked)
    assert {user: json.loads(reason)["version"] for user, reason in why.items()} == {str(ALICE): 2}
    kept = await harness.redis.hgetall(gate.keys.document("user", ALICE))
    assert (kept["version"], kept["name"]) == ("1", CREATED.name)
    assert await harness.redis.hget(gate.keys.document("user", BOB), "version") == "2"


def tallied(keys: Keys, happened: ProjectedEvent[Any]) -> list[Command]:
    tally = keys.owned_key("tally", happened.aggregate_id)
    return [("DEL", tally) if happened.version == 1 else ("HINCRBY", tally, "events", "1")]


async def test_a_folded_write_that_fails_half_way_leaves_nothing(
    harness: ProjectionHarness,
) -> None:
    projections = {"user": (is_refused_by_redis, tallied)}
    await harness.begin(projections)
    gate = harness.applier_for(ALICE)
    events = story(ALICE, CREATED, PLACED, RENAMED)
    harness.log.commit(events)
    await gate.apply([Delivery(one) for one in events[:2]], publish=False)
    [life] = await whole(gate.keys, events, projections)
    await gate.apply([life], publish=False)
    assert await harness.redis.hgetall(gate.keys.owned_key("tally", ALICE)) == {"events": "1"}
    assert await harness.redis.hget(gate.keys.document("user", ALICE), "version") == "2"


def counted(keys: Keys, happened: ProjectedEvent[Any]) -> list[Command]:
    return [("HINCRBY", keys.shared_key("seen"), happened.aggregate_id, "1")]


async def test_commands_that_cannot_be_folded_are_applied_event_by_event(
    harness: ProjectionHarness,
) -> None:
    keys = harness.keys_of(ALICE)
    found = await whole(keys, STORY, with_projections(counted))
    assert found == [Delivery(one) for one in STORY]


async def test_the_last_events_of_a_user_alone_are_applied_event_by_event(
    harness: ProjectionHarness,
) -> None:
    assert await whole(harness.keys_of(ALICE), STORY[1:]) == [Delivery(one) for one in STORY[1:]]
    assert await whole(harness.keys_of(ALICE), STORY[::2]) == [Delivery(one) for one in STORY[::2]]


async def test_a_rebuild_that_is_stopped_within_a_page_sees_no_event_twice(world: World) -> None:
    world.commit(ALICE, CREATED, RENAMED, PLACED)
    world.commit(BOB, CREATED)
    await world.relay()
    stops = iter([True])

    async def in_parts(
        _: int, size: int, after: int = 0
    ) -> AsyncIterator[tuple[int, list[Envelope]]]:
        events = world.log.committed[0]
        if after == 0:
            yield 0, events[:2]
            if next(stops, False):
                raise ConnectionError
            yield 4, events[2:]

    world.log.events_by_aggregate = in_parts  # type: ignore[method-assign, assignment]
    with pytest.raises(ConnectionError):
        await world.steering().rebuild()
    seen: list[int] = []
    await world.steering().rebuild(lambda progress: seen.append(progress.seen))
    assert seen == [0, 2, 4]
    assert msgspec.structs.astuple(await world.verify().run()) == (2, [], [])
