"""How far a read model is that is built from the log, beside the one that serves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from domain.users.events import UserCreated, UserRenamed
from readside.admin.partition_status import Building, PartitionStatus, partition_statuses
from readside.generations import rebuild
from readside.projection_set import FINGERPRINT
from tests.readside.envelopes import user_in

if TYPE_CHECKING:
    from readside.generations.rebuild import Progress
    from tests.readside.harness import World

ALICE = user_in(0, 0)
CREATED = UserCreated(name="Alice", email="alice@example.com")


async def standing(world: World) -> PartitionStatus:
    [first, *_] = await partition_statuses(world.redis, 1, FINGERPRINT)
    assert first is not None
    return first


async def test_what_is_built_shows_how_far_it_is_until_it_serves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "PAGE", 2)
    world.commit(ALICE, CREATED, *[UserRenamed(name=f"Alice {n}") for n in range(6)])
    await world.build()
    assert (await standing(world)).progress is None

    def stop(progress: Progress) -> None:
        if progress.seen == 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await world.steering().rebuild(stop)
    assert (await standing(world)).progress == Building(4, 7)
    flip = await world.steering().rebuild()
    assert (await standing(world)).building == [flip.before]  # kept for a return
    assert (await standing(world)).progress is None
