"""tandem generations: lists retained generations, and removes those that nothing uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.asyncio import Redis

from api.roles import read_model_fingerprint
from readside.generations.registry import Generations
from readside.redis_functions.keys import Partition
from tests.acceptance.cli import tandem
from tests.acceptance.service import running

if TYPE_CHECKING:
    from api.settings import Settings


async def test_an_abandoned_generation_is_removed_and_the_active_one_is_not(
    settings: Settings,
) -> None:
    place = Partition(3)
    async with running(settings) as client:
        await client.create_user()
    # A running service would remove it soon, because it was never read.
    async with Redis.from_url(str(settings.redis_url), decode_responses=True) as redis:
        generations = Generations(redis, place, read_model_fingerprint(settings))
        left, serving = await generations.create("unknown"), await generations.active()
        assert left is not None
        assert serving is not None
        await redis.xgroup_delconsumer(place.stream, left.generation, "unknown")
        listed = (await tandem(settings, "generations", "list", "--json")).json["generations"]
        assert [one["state"] for one in listed if one["partition"] == 3] == ["serves", "kept"]
        refused = await tandem(
            settings, "generations", "remove", left.generation, serving.generation
        )
        assert (refused.status, "serves this code" in refused.err) == (1, True)
        removed = await tandem(settings, "generations", "remove", "--all", "--json")
        assert removed.json["removed"] == [left.generation]
        assert await generations.active() == serving
