"""tandem generations, as an operator runs it when a stream grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.asyncio import Redis

from api.roles import read_model_fingerprint
from readside.generations.registry import Generations
from readside.redis_functions.keys import Partition
from tests.acceptance.cli import run_on
from tests.acceptance.service import running

if TYPE_CHECKING:
    from api.settings import Settings


async def test_an_abandoned_generation_is_removed_and_the_active_one_is_not(
    settings: Settings,
) -> None:
    place = Partition(3)
    async with running(settings) as client:
        await client.create_user()
    # A running service would remove it at any moment, because no process has read it.
    async with Redis.from_url(str(settings.redis_url), decode_responses=True) as redis:
        generations = Generations(redis, place, read_model_fingerprint(settings))
        left, serving = await generations.create("nobody"), await generations.active()
        assert left is not None
        assert serving is not None
        await redis.xgroup_delconsumer(place.stream, left.generation, "nobody")
        listed = (await run_on(settings, "generations", "list", "--json")).json["generations"]
        assert [one["state"] for one in listed if one["partition"] == 3] == ["serves", "kept"]
        refused = await run_on(
            settings, "generations", "remove", left.generation, serving.generation
        )
        assert (refused.status, "serves this code" in refused.err) == (1, True)
        removed = await run_on(settings, "generations", "remove", "--all", "--json")
        assert removed.json["removed"] == [left.generation]
        assert await generations.active() == serving
