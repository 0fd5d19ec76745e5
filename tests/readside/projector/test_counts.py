"""What a projector counts of what it does, and that a long rebuild shows that it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.users.events import UserCreated, UserRenamed
from readside.applier import APPLIED, DUPLICATE
from readside.generations import rebuild
from readside.redis_functions.keys import Partition
from tests.readside.envelopes import user_in

if TYPE_CHECKING:
    import pytest

    from tests.readside.harness import World

ALICE, BOB = user_in(0, 0), user_in(0, 1)
CREATED = UserCreated(name="Alice", email="alice@example.com")


async def test_a_projector_counts_each_event_of_the_stream_and_none_of_a_rebuild(
    world: World,
) -> None:
    world.commit(ALICE, CREATED)
    async with world.projector() as projector:
        await world.settle(projector)
        assert projector.outcomes == {}
        world.commit(ALICE, UserRenamed(name="Alicia"))
        world.commit(BOB, UserCreated(name="Bob", email="bob@example.com"))
        await world.settle(projector)
        assert projector.outcomes == {APPLIED: 2}


async def test_an_event_that_comes_once_more_is_counted_as_a_duplicate(world: World) -> None:
    async with world.projector() as projector:
        await world.settle(projector)
        world.commit(ALICE, CREATED)
        await world.relay()
        stream = Partition(0).stream
        entries: Any = await world.redis.xrange(stream)
        await world.redis.xadd(stream, entries[0][1])
        await world.settle(projector)
        assert projector.outcomes == {APPLIED: 1, DUPLICATE: 1}


async def test_a_long_rebuild_reports_progress_for_every_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "PAGE", 1)
    world.commit(ALICE, CREATED, *[UserRenamed(name=f"Alice {n}") for n in range(9)])
    await world.relay()
    beats: list[None] = []
    async with world.projector(beat=lambda: beats.append(None)) as projector:
        await projector.run_once()
    assert await world.serving() is not None
    assert len(beats) >= 10
