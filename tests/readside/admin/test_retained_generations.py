"""Generations that are kept: what they keep from being trimmed, and which of them may be removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from domain.users.events import UserCreated, UserRenamed
from readside.admin.partition_status import partition_statuses
from readside.admin.retained_generations import (
    IN_USE_SECONDS,
    RetainedGeneration,
    retained_generations,
)
from readside.projection_set import FINGERPRINT
from tests.readside.envelopes import user_in

if TYPE_CHECKING:
    from tests.readside.harness import World

ALICE = user_in(0, 0)
CREATED = UserCreated(name="Alice", email="alice@example.com")


async def all_kept(world: World) -> list[RetainedGeneration]:
    [first] = await partition_statuses(world.redis, 1, FINGERPRINT)
    assert first is not None
    return retained_generations(first)


async def test_what_was_left_keeps_entries_until_it_is_removed(world: World) -> None:
    world.commit(ALICE, CREATED)
    await world.build()
    left = await world.generations().create("projector")
    assert left is not None
    world.commit(ALICE, *[UserRenamed(name=f"Alice {n}") for n in range(5)])
    async with world.projector() as projector:
        await world.settle(projector)
        assert await world.length() == 5
        serving, abandoned = await all_kept(world)
        assert (serving.state, serving.entries) == ("serves", 0)
        assert (abandoned.generation, abandoned.state, abandoned.entries) == (
            left.generation,
            "kept",
            5,
        )
        await world.generations().remove(left)
        world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.settle(projector)
    assert await world.length() == 0
    assert [one.state for one in await all_kept(world)] == ["serves"]


async def test_what_is_in_use_is_not_removed(world: World) -> None:
    world.commit(ALICE, CREATED)
    await world.build()
    async with world.projector(fingerprint="other") as projector:
        await world.settle(projector)
    ours, theirs = await all_kept(world)
    assert theirs.codes == ["other"]
    assert "serves this code" in str(ours.refusal(code_is_gone=True))
    assert "stop the projectors" in str(theirs.refusal(code_is_gone=True))
    idle = msgspec.structs.replace(theirs, idle=IN_USE_SECONDS)
    assert "--code-is-gone" in str(idle.refusal(code_is_gone=False))
    assert idle.refusal(code_is_gone=True) is None


@pytest.mark.parametrize("idle", [None, IN_USE_SECONDS])
def test_what_serves_no_code_and_is_not_read_may_be_removed(idle: float | None) -> None:
    left = RetainedGeneration(generation="a", state="kept", codes=[], entries=7, idle=idle)
    assert left.refusal(code_is_gone=False) is None
