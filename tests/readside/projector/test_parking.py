"""Parking: an event that cannot be applied parks its user with the reason, and no other user."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from domain.envelope import Envelope
from domain.users.events import OrderId, OrderPlaced, UserCreated, UserId, UserRenamed
from readside.applier import Delivery
from readside.projection import Command, ProjectedEvent
from readside.projections import users
from readside.redis_functions.keys import Keys
from tests.readside.envelopes import spoilt, story, user_in
from tests.readside.harness import with_projections
from tests.readside.projection_harness import ProjectionHarness

ALICE, BOB = user_in(0, 0), user_in(0, 1)
CREATED = UserCreated(name="Alice", email="alice@example.com")
STORY = story(ALICE, CREATED, UserRenamed(name="Alicia"), UserRenamed(name="Al"))
SOUND = story(BOB, UserCreated(name="Bob", email="bob@example.com"), UserRenamed(name="Rob"))

POISONS: dict[str, tuple[Callable[[Envelope], Envelope], str]] = {
    "unreadable": (lambda e: spoilt(e, data=msgspec.Raw(b'{"name": 7}')), "Undecodable"),
    "not-json": (lambda e: spoilt(e, data=msgspec.Raw(b"{")), "Undecodable"),
    "unknown-type": (lambda e: spoilt(e, type="UserPromoted"), "UserPromoted"),
    "future-schema": (lambda e: spoilt(e, schema=99), "schema 99"),
}


async def parked(harness: ProjectionHarness, user: UserId) -> dict[str, object] | None:
    why = await harness.redis.hget(harness.keys_of(user).parked, str(user))
    return None if why is None else json.loads(str(why))


async def version(harness: ProjectionHarness, user: UserId) -> int:
    row = await users.fetch(harness.reads, user)
    return 0 if row is None else row.version


async def deliver(harness: ProjectionHarness, *envelopes: Envelope) -> None:
    """Delivers one batch with the poison event among others."""
    await harness.applier_for(ALICE).apply([Delivery(one) for one in envelopes], publish=True)


@pytest.mark.parametrize("poison", POISONS)
async def test_poison_parks_its_user_alone_with_the_reason(
    harness: ProjectionHarness, poison: str
) -> None:
    spoil, reason = POISONS[poison]
    bad = spoil(STORY[1])
    await deliver(harness, STORY[0], SOUND[0], bad, SOUND[1])
    why = await parked(harness, ALICE)
    assert why is not None
    assert reason in str(why["reason"])
    assert (why["version"], why["type"]) == (2, bad.type)
    assert (await version(harness, ALICE), await version(harness, BOB)) == (1, 2)
    assert await parked(harness, BOB) is None


def stumbles(keys: Keys, happened: ProjectedEvent[Any]) -> list[Command]:
    if happened.data == UserRenamed(name="Alicia"):
        raise ZeroDivisionError("by Alicia")
    return []


async def test_a_projection_that_raises_parks_the_user_alone(harness: ProjectionHarness) -> None:
    await harness.begin(with_projections(stumbles))
    await deliver(harness, STORY[0], SOUND[0], STORY[1], SOUND[1])
    assert await parked(harness, ALICE) == {
        "version": 2,
        "type": "UserRenamed",
        "reason": "ZeroDivisionError: by Alicia",
    }
    assert (await version(harness, ALICE), await version(harness, BOB)) == (1, 2)


def unspeakable(keys: Keys, happened: ProjectedEvent[Any]) -> list[Command]:
    if happened.data == UserRenamed(name="Alicia"):
        return [("HSET", keys.shared_key("odd"), happened.aggregate_id, "\ud800")]
    return []


async def test_a_projection_that_returns_unsendable_commands_parks_its_user_alone(
    harness: ProjectionHarness,
) -> None:
    await harness.begin(with_projections(unspeakable))
    await deliver(harness, STORY[0], SOUND[0], STORY[1], SOUND[1])
    why = await parked(harness, ALICE)
    assert why is not None
    assert "UnicodeEncodeError" in str(why["reason"])
    assert (await version(harness, ALICE), await version(harness, BOB)) == (1, 2)


async def test_a_command_that_redis_refuses_half_way_parks_the_user_alone(
    harness: ProjectionHarness,
) -> None:
    await deliver(harness, STORY[0], SOUND[0])
    keys = harness.keys_of(ALICE)
    await harness.redis.set(keys.owned_key("orders", ALICE), "no sorted set")
    changed = story(ALICE, OrderPlaced(order_id=OrderId(ALICE), total=1), after=1)
    await deliver(harness, *changed, SOUND[1])
    why = await parked(harness, ALICE)
    assert why is not None
    assert "WRONGTYPE" in str(why["reason"])
    assert why["version"] == 2
    assert await harness.redis.hget(keys.document("user", ALICE), "version") == "1"
    assert await version(harness, BOB) == 2


async def test_a_command_that_redis_does_not_know_parks_the_user(
    harness: ProjectionHarness,
) -> None:
    await harness.begin(with_projections(lambda keys, _: [("NOSUCH", keys.shared_key("odd"))]))
    await deliver(harness, STORY[0])
    assert await parked(harness, ALICE) is not None


async def test_later_events_of_a_parked_user_are_acknowledged_and_not_applied(
    harness: ProjectionHarness,
) -> None:
    keys = harness.keys_of(ALICE)
    stream = keys.partition.stream
    entries = [str(await harness.redis.xadd(stream, {"e": "any"})) for _ in STORY]
    await harness.redis.xreadgroup(keys.generation, "projector", {stream: ">"})
    bad = [STORY[0], spoilt(STORY[1], schema=99), STORY[2]]
    harness.log.commit(bad)
    deliveries = [Delivery(one, entry) for one, entry in zip(bad, entries, strict=True)]
    await harness.applier_for(ALICE).apply(deliveries, publish=True)
    assert (await harness.redis.xpending(stream, keys.generation))["pending"] == 0
    assert await version(harness, ALICE) == 1


async def test_a_gap_that_the_log_cannot_fill_parks_its_user_alone(
    harness: ProjectionHarness,
) -> None:
    harness.log.commit([STORY[0], STORY[2], *SOUND])
    await deliver(harness, STORY[0], STORY[2], SOUND[0], SOUND[1])
    assert await parked(harness, ALICE) == {
        "version": 2,
        "type": "UserRenamed",
        "reason": "version 2 is missing from the event log",
    }
    assert (await version(harness, ALICE), await version(harness, BOB)) == (1, 2)


async def test_poison_in_a_gap_parks_the_user(harness: ProjectionHarness) -> None:
    harness.log.commit([STORY[0], spoilt(STORY[1], type="UserPromoted"), STORY[2]])
    await deliver(harness, STORY[2], SOUND[0])
    why = await parked(harness, ALICE)
    assert why is not None
    assert why["version"] == 2
    assert (await version(harness, ALICE), await version(harness, BOB)) == (1, 1)


async def test_a_skipped_event_advances_the_version_and_changes_nothing_else(
    harness: ProjectionHarness,
) -> None:
    bad = spoilt(STORY[1], type="UserPromoted")
    harness.log.commit([STORY[0], bad, STORY[2]])
    await deliver(harness, STORY[0], bad, STORY[2])
    assert await version(harness, ALICE) == 1
    harness.log.committed[0][1] = spoilt(bad, skipped=True)
    await harness.applier_for(ALICE).resync_aggregate(ALICE)
    assert await parked(harness, ALICE) is None
    assert await version(harness, ALICE) == 3
    sound = spoilt(STORY[1], skipped=True)
    harness.log.committed[0][1:] = [sound]
    await harness.flip(0)
    keys = harness.keys_of(ALICE)
    assert await harness.redis.hget(keys.document("user", ALICE), "name") == "Alice"
    assert await version(harness, ALICE) == 2


async def test_several_early_events_with_another_gap_among_them_all_get_an_outcome(
    harness: ProjectionHarness,
) -> None:
    tale = story(ALICE, CREATED, *(UserRenamed(name=f"{n}") for n in range(5)))
    keys = harness.keys_of(ALICE)
    stream = keys.partition.stream
    entries = [str(await harness.redis.xadd(stream, {"e": "any"})) for _ in range(3)]
    await harness.redis.xreadgroup(keys.generation, "projector", {stream: ">"})
    harness.log.commit([tale[0], tale[1]])  # the log lacks 3 to 6; the stream brings 6, 3 and 4
    early = [tale[5], tale[2], tale[3]]
    deliveries = [Delivery(one, entry) for one, entry in zip(early, entries, strict=True)]
    await harness.applier_for(ALICE).apply(deliveries, publish=True)
    assert (await harness.redis.xpending(stream, keys.generation))["pending"] == 0
    assert await version(harness, ALICE) == 4
    assert await parked(harness, ALICE) is not None
