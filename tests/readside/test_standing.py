"""How far a read model is that is built from the log, beside the one that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events import UserCreated
from readside.generations import Generations
from readside.keys import Partition
from readside.models import FINGERPRINT
from readside.projector import CONSUMER
from readside.standing import Building, Standing, standings
from tests.readside.stories import user_in

if TYPE_CHECKING:
    from tests.readside.world import World

ALICE = user_in(0, 0)


async def standing(world: World) -> Standing:
    [first, *_] = await standings(world.redis, 1, FINGERPRINT)
    return first


async def test_what_is_built_shows_how_far_it_is_until_it_is_whole(world: World) -> None:
    world.commit(ALICE, UserCreated(name="Alice", email="alice@example.com"))
    await world.relay()
    async with world.projector() as projector:
        while await projector.run_once():
            pass
        assert (await standing(world)).progress is None
        keys = await Generations(world.redis, Partition(0), FINGERPRINT).build(CONSUMER)
        assert keys is not None
        assert (await standing(world)).building == [keys.generation]
        assert (await standing(world)).progress is None  # nothing is known of it yet
        await world.redis.hset(keys.counters, mapping={"seen": 3, "expected": 7})
        assert (await standing(world)).progress == Building(3, 7)
        await world.redis.hset(keys.counters, "seen", 7)
        assert (await standing(world)).progress is None
