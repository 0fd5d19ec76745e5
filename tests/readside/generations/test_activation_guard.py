"""The brake on the flip: code that parks many users does not serve in the place of code that does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from domain.users.events import UserCreated, UserErased, UserRenamed
from readside.admin.maintenance import MaintenanceRefused
from readside.admin.parked_aggregates import Parked
from readside.admin.partition_status import partition_statuses
from readside.generations import activation_guard
from readside.generations.activation_guard import ParkedExcess
from readside.projection_set import FINGERPRINT
from readside.projector import projector as projecting
from readside.redis_functions.keys import Partition
from tests.readside.envelopes import PARTITIONS, user_in
from tests.readside.harness import with_projections

if TYPE_CHECKING:
    from domain.users.events import UserId
    from readside.admin.maintenance import PartitionMaintenance
    from readside.projection import Command, ProjectedEvent
    from readside.projector.projector import Projector
    from readside.redis_functions.keys import Keys
    from tests.readside.harness import World


def forgetful(_keys: Keys, happened: ProjectedEvent[Any]) -> list[Command]:
    """What cannot read some events of the log."""
    if isinstance(happened.data, UserCreated) and happened.data.name == "Bob":
        raise KeyError("surname")
    return []


BROKEN = with_projections(forgetful)


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "_RESYNC_INTERVAL_SECONDS", 0.0)


async def people(world: World, partition: int = 0, *, bobs: int, of: int = 30) -> list[UserId]:
    """Users in the log and in a read model that serves, of whom some will be parked by broken code."""
    users = [user_in(partition, number) for number in range(of)]
    for number, user in enumerate(users):
        name = "Bob" if number < bobs else "Alice"
        world.commit(user, UserCreated(name=name, email=f"{user}@example.com"))
    await world.build()
    return users


def broken(world: World, partition: int = 0) -> Projector:
    return world.projector(partition, projections=BROKEN, fingerprint="broken")


def by_hand(world: World) -> PartitionMaintenance:
    return world.steering(projections=BROKEN, fingerprint="broken")


async def held(world: World, partition: int = 0) -> ParkedExcess | None:
    return await _held(world, "broken", partition)


async def _held(world: World, fingerprint: str, partition: int) -> ParkedExcess | None:
    status = (await partition_statuses(world.redis, PARTITIONS, fingerprint))[partition]
    assert status is not None
    return status.held


async def serves(world: World, partition: int = 0) -> bool:
    return await world.serving(partition, "broken") is not None


async def test_code_that_parks_many_users_is_not_activated_and_the_old_code_stays_active(
    world: World,
) -> None:
    users = await people(world, bobs=11)
    old = await world.serving()
    async with broken(world) as projector:
        await world.settle(projector)
        assert not await serves(world)
        assert await held(world) == ParkedExcess(more=11, aggregates=30)
        assert await world.serving() == old
        assert {one.reason for one in await Parked(world.redis, Partition(0), "broken").all()} == {
            "KeyError: 'surname'"
        }
        world.commit(users[0], UserRenamed(name="Robert"))
        async with world.projector() as other:
            await world.settle(other)
        assert (await world.hash_of(users[0]))["name"] == "Robert"
        assert await _held(world, FINGERPRINT, 0) is None


@pytest.mark.parametrize(("bobs", "share"), [(10, 0.01), (12, 0.4)])
async def test_few_parked_users_are_no_reason(
    world: World, monkeypatch: pytest.MonkeyPatch, bobs: int, share: float
) -> None:
    monkeypatch.setattr(activation_guard, "MIN_EXCESS_RATIO", share)
    await people(world, bobs=bobs)
    async with broken(world) as projector:
        await world.settle(projector)
    assert await serves(world)


async def test_the_users_of_all_partitions_are_added_up(world: World) -> None:
    for partition in range(PARTITIONS):
        await people(world, partition, bobs=6)
    async with broken(world, 0) as first, broken(world, 1) as second:
        await world.settle(first, second)
    assert [await serves(world, 0), await serves(world, 1)] == [True, False]
    assert await held(world, 1) == ParkedExcess(more=12, aggregates=60)


async def test_users_that_the_old_code_parks_too_do_not_count(world: World) -> None:
    await people(world, bobs=11)
    async with broken(world) as projector:
        await by_hand(world).accept_parked()
        await world.settle(projector)
    await world.redis.delete((await world.generations().active()).partition.accepted_fingerprint)  # type: ignore[union-attr]
    await by_hand(world).rebuild()
    assert await serves(world)


async def test_a_held_generation_is_built_once_and_follows_the_stream(world: World) -> None:
    users = await people(world, bobs=11)
    async with broken(world) as projector:
        await world.settle(projector)
        [built] = await world.generations(fingerprint="broken").interrupted()
    world.commit(users[-1], UserRenamed(name="Alicia"))
    async with broken(world) as another, world.projector() as old:
        await world.settle(another, old)
    assert await world.generations(fingerprint="broken").interrupted() == [built]
    assert await world.redis.hget(built.document("user", users[-1]), "name") == "Alicia"
    assert await world.length() == 0  # the stream is not held back


async def test_an_accepted_generation_is_activated(world: World) -> None:
    await people(world, bobs=11)
    async with broken(world) as projector:
        await world.settle(projector)
        await by_hand(world).accept_parked()
        await world.settle(projector)
        assert await serves(world)
        assert await held(world) is None


async def test_a_held_generation_is_activated_once_no_other_can_be(world: World) -> None:
    await people(world, bobs=11)
    async with broken(world) as projector:
        await world.settle(projector)
        old = await world.serving()
        assert old is not None
        await world.generations().remove(old)
        await world.settle(projector)
        assert await serves(world)


async def test_a_held_generation_is_activated_once_enough_parked_users_are_erased(
    world: World,
) -> None:
    users = await people(world, bobs=11)
    async with broken(world) as projector, world.projector() as old:
        await world.settle(projector, old)
        assert not await serves(world)
        world.commit(users[0], UserErased())
        await world.settle(projector, old)
        assert await serves(world)


async def test_a_held_generation_whose_stream_was_lost_is_built_again(world: World) -> None:
    """Its name is still there, and its group is not: so nothing could bring it up to date."""
    await people(world, bobs=11)
    async with broken(world) as projector:
        await world.settle(projector)
        [built] = await world.generations(fingerprint="broken").interrupted()
        await world.redis.delete(built.partition.stream)
        for _ in range(10):
            await projector.run_once()
    assert await serves(world)  # what it was held for has lost its group, too


async def test_a_held_generation_that_missed_entries_is_rebuilt_once_it_may_be_activated(
    world: World,
) -> None:
    await people(world, bobs=11)
    async with broken(world) as projector:
        await world.settle(projector)
        [built] = await world.generations(fingerprint="broken").interrupted()
        await world.redis.hincrby(built.counters, "taken", -1)
        await by_hand(world).accept_parked()
        for _ in range(10):
            await projector.run_once()
    serving = await world.serving(fingerprint="broken")
    assert serving is not None
    assert serving != built


async def test_without_another_read_model_every_generation_is_activated(world: World) -> None:
    await people(world, bobs=11)
    await world.redis.flushall()
    async with broken(world) as projector:
        await world.settle(projector)
        assert await serves(world)


async def test_repaired_code_builds_and_activates_its_own_generation(world: World) -> None:
    await people(world, bobs=11)
    async with broken(world) as projector, world.projector(fingerprint="mended") as mended:
        await world.settle(projector, mended)
    assert await world.serving(fingerprint="mended") is not None
    assert not await serves(world)


async def test_a_manual_rebuild_is_held_too_and_resumed_when_it_is_accepted(world: World) -> None:
    """The code is that of the read model that serves: what it cannot read any more has changed in the log."""
    await people(world, bobs=11)
    steering = world.steering(projections=BROKEN)
    before = await world.serving()
    with pytest.raises(
        MaintenanceRefused, match=r"Partition 0 keeps .* parks 11 of 30 .*--accept-parked"
    ):
        await steering.rebuild()
    assert await world.serving() == before
    [built] = await world.generations().interrupted()
    await steering.accept_parked()
    assert (await steering.rebuild()).after == built.generation
    assert await world.serving() == built
