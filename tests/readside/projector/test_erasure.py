"""Who is erased is forgotten everywhere in Redis, whatever has become of them, and of the streams, before."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from domain.users.events import OrderPlaced, UserCreated, UserErased, UserEvent, UserRenamed
from readside.applier import Delivery
from readside.generations import registry as retiring
from readside.projection import Command, ProjectedEvent
from readside.projection_set import FINGERPRINT
from readside.projector.projector import Projector
from readside.redis_functions.keys import Keys
from tests import remains
from tests.readside.envelopes import order, story, user_in
from tests.readside.harness import World, with_projections
from tests.readside.projection_harness import ProjectionHarness

ALICE, BOB = user_in(0, 0), user_in(0, 1)
CREATED = UserCreated(name="Alice", email="alice@example.com")
PLACED = OrderPlaced(order_id=order(1), total=5)
BLANK: list[UserEvent] = [
    UserCreated(name="", email=""),
    PLACED,
    UserRenamed(name=""),
    UserErased(),
]


async def of_alice(redis_url: str) -> list[str]:
    return [text for text in await remains.keys(redis_url) if "alic" in text.lower()]


def stumbles(keys: Keys, happened: ProjectedEvent[Any]) -> list[Command]:
    if isinstance(happened.data, UserRenamed) and happened.data.name:
        raise ValueError(happened.data.name)
    return []


async def set_aside(harness: ProjectionHarness) -> None:
    """Alice cannot be renamed, and the reason says how."""
    await harness.begin(with_projections(stumbles))
    await harness.given(CREATED, PLACED, UserRenamed(name="Alicia"), user=ALICE)


async def test_an_erasure_leaves_nothing_of_a_parked_user(
    harness: ProjectionHarness, redis_url: str
) -> None:
    await set_aside(harness)
    assert any("Alicia" in text for text in await of_alice(redis_url))
    await harness.given(UserErased(), user=ALICE)
    assert await of_alice(redis_url) == []
    keys = harness.keys_of(ALICE)
    assert await harness.redis.hgetall(keys.document("user", ALICE)) == {"version": "4"}
    assert not await harness.redis.exists(keys.parked)


async def test_an_erasure_needs_no_predecessor(harness: ProjectionHarness, redis_url: str) -> None:
    gate, happened = (
        harness.applier_for(ALICE),
        story(ALICE, CREATED, PLACED, UserRenamed(name="Al")),
    )
    await gate.apply([Delivery(happened[0])], publish=True)
    [erased] = story(ALICE, UserErased(), after=3)
    await gate.apply([Delivery(erased), Delivery(happened[1]), Delivery(happened[2])], publish=True)
    assert await harness.redis.hgetall(harness.keys_of(ALICE).document("user", ALICE)) == {
        "version": "4"
    }
    assert await of_alice(redis_url) == []
    assert await harness.redis.hget(harness.keys_of(ALICE).counters, "applied") == "4"


async def test_a_parked_and_erased_user_does_not_prevent_an_activation(
    world: World,
) -> None:
    happened = story(ALICE, *BLANK)
    happened[1] = msgspec.structs.replace(happened[1], schema=99)
    world.log.commit(happened)
    world.commit(BOB, UserCreated(name="Bob", email="bob@example.com"))
    async with world.projector() as projector:
        await world.settle(projector)
    assert await world.version_of(BOB) == 1
    assert await world.hash_of(ALICE) == {"version": "4"}


async def test_entries_from_before_the_first_generation_are_trimmed(
    world: World, redis_url: str
) -> None:
    await world.relay()
    world.commit(ALICE, CREATED, UserErased())
    await world.relay()
    world.log.committed[0][:] = story(ALICE, UserCreated(name="", email=""), UserErased())
    assert await of_alice(redis_url) != []
    async with world.projector() as projector:
        await world.settle(projector)
    assert await of_alice(redis_url) == []


@pytest.fixture
def no_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the test removes generations."""
    monkeypatch.setattr(Projector, "_start_clean_up", lambda *_: None)


async def of_other_code(world: World) -> Keys:
    """Returns a generation with another fingerprint that has Alice and no projectors."""
    async with world.projector() as ours, world.projector(fingerprint="other") as theirs:
        world.commit(ALICE, CREATED)
        await world.settle(ours, theirs)
    keys = await world.serving(fingerprint="other")
    assert keys is not None
    return keys


@pytest.mark.usefixtures("no_clean_up")
async def test_a_generation_that_does_not_read_an_erasure_is_removed_soon(
    world: World, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await of_other_code(world)
    world.commit(ALICE, UserErased())
    async with world.projector() as ours:
        await world.settle(ours)
        ours_alone = await world.serving()
        assert ours_alone is not None
        assert await world.generations().remove_unused(ours_alone) == 0
        assert await of_alice(redis_url) != []  # in the other generation, and in the stream
        monkeypatch.setattr(retiring, "ERASURE_RETENTION_SECONDS", -1)
        assert await world.generations().remove_unused(ours_alone) == 1
        await world.generations().check_intact(ours_alone)
    assert await of_alice(redis_url) == []


@pytest.mark.usefixtures("no_clean_up")
async def test_a_generation_that_has_applied_the_erasure_is_kept_for_a_rollback(
    world: World, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await of_other_code(world)
    monkeypatch.setattr(retiring, "ERASURE_RETENTION_SECONDS", -1)
    world.commit(ALICE, UserErased())
    async with world.projector() as ours, world.projector(fingerprint="other") as theirs:
        await world.settle(ours, theirs)
        world.commit(BOB, UserCreated(name="Bob", email="bob@example.com"))
        await world.settle(ours)
        ours_alone = await world.serving(fingerprint=FINGERPRINT)
        assert ours_alone is not None
        assert await world.generations().remove_unused(ours_alone) == 0
    assert await of_alice(redis_url) == []


@pytest.mark.usefixtures("no_clean_up")
async def test_a_generation_that_has_read_and_not_acknowledged_the_erasure_is_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = await of_other_code(world)
    world.commit(ALICE, UserErased())
    await world.relay()
    await world.redis.xreadgroup(theirs.generation, "projector", {theirs.partition.stream: ">"})
    monkeypatch.setattr(retiring, "ERASURE_RETENTION_SECONDS", -1)
    async with world.projector() as ours:
        await world.settle(ours)
        ours_alone = await world.serving()
        assert ours_alone is not None
        assert await world.generations().remove_unused(ours_alone) == 1
