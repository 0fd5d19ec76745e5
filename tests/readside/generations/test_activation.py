"""The flip: a generation serves only when no reader can have seen anything newer than what it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from api.runtime.background import cancel_all
from domain.users.events import UserCreated, UserRenamed
from readside.redis_functions.functions import Functions, GenerationGone
from readside.redis_functions.keys import Partition
from tests.limited import limited
from tests.readside.envelopes import user_in

if TYPE_CHECKING:
    from readside.projector.projector import Projector
    from tests.readside.harness import World

ALICE = user_in(0, 0)
CREATED = UserCreated(name="Alice", email="alice@example.com")
STREAM = Partition(0).stream


def before_each_flip(
    monkeypatch: pytest.MonkeyPatch, projector: Projector, what: Callable[[], Awaitable[None]]
) -> None:
    """Runs something right before each activation."""
    functions: Functions = projector._generations._functions  # noqa: SLF001
    call = functions.call

    async def and_before(name: str, *arguments: Any) -> Any:
        if name == "activate":
            await what()
        return await call(name, *arguments)

    monkeypatch.setattr(functions, "call", and_before)


async def test_readers_see_after_the_activation_what_they_saw_before_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.commit(ALICE, CREATED)
    async with world.projector() as old, world.projector(fingerprint="newer") as new:
        await world.settle(old)
        shown: list[int] = []

        async def another_applies_more() -> None:
            if len(shown) < 3:
                world.commit(ALICE, UserRenamed(name=f"Alice {len(shown)}"))
                await world.settle(old)
                shown.append(await world.version_of(ALICE))

        before_each_flip(monkeypatch, new, another_applies_more)
        await new.run_once()
        keys = await world.serving(fingerprint="newer")
        assert keys is not None
        assert shown == [2, 3, 4]
        assert await world.redis.hget(keys.document("user", ALICE), "version") == "4"


async def test_a_generation_that_missed_an_entry_is_not_activated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.commit(ALICE, CREATED)
    await world.relay()
    async with world.projector() as projector:
        lost: list[int] = []

        async def an_entry_is_lost() -> None:
            if not lost:
                lost.append(world.commit(ALICE, UserRenamed(name="Alicia")))
                await world.relay()
                await world.redis.xtrim(STREAM, maxlen=0, approximate=False)

        before_each_flip(monkeypatch, projector, an_entry_is_lost)
        await projector.run_once()
        assert await world.serving() is None
        await world.settle(projector)
        assert (await world.hash_of(ALICE))["name"] == "Alicia"


async def test_a_generation_is_activated_under_continuous_writes(world: World) -> None:
    world.commit(ALICE, CREATED)
    await world.relay()

    async def never_ceasing() -> None:
        while True:
            world.commit(ALICE, UserRenamed(name="A"))
            await world.relay()

    async with world.projector() as projector:
        events = asyncio.create_task(never_ceasing())
        try:
            async with limited(10):
                while await world.serving() is None:
                    await projector.run_once()
        finally:
            await cancel_all([events])


@pytest.mark.parametrize("why", ["void", "forgotten", "without its group"])
async def test_a_call_for_a_removed_generation_raises(world: World, why: str) -> None:
    await world.relay()
    generations = world.generations()
    keys = await generations.create("projector")
    assert keys is not None
    if why == "void":
        await world.redis.hset(Partition(0).generations, keys.generation, "void")
    elif why == "forgotten":
        await world.redis.delete(Partition(0).generations)
    else:
        await world.redis.xgroup_destroy(STREAM, keys.generation)
    with pytest.raises(GenerationGone):
        await generations.activate(keys)


async def test_a_stream_that_was_trimmed_empty_is_read_to_its_end(world: World) -> None:
    async with world.projector() as projector:
        world.commit(ALICE, CREATED)
        await world.settle(projector)
        world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.settle(projector)
        assert await world.length() == 0
        keys = await world.serving()
        assert keys is not None
        assert await world.generations().activate(keys)
