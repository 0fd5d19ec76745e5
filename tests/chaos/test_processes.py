"""Processes that are killed, stand still and go on, at any moment and also for longer than their lease."""

from __future__ import annotations

import asyncio

from readside.redis_functions.keys import LEASE_PREFIX
from tests.chaos.cluster import PARTITIONS, Cluster
from tests.chaos.conftest import Make
from tests.chaos.load import acknowledged, under_load
from tests.limited import limited


async def test_of_two_relays_one_stops_before_its_append_and_goes_on_later(make: Make) -> None:
    async with make() as cluster, under_load(cluster) as workload:
        for _ in range(3):
            await cluster.restart("relay-1", "relay.read=stop@5")
            async with limited(15):
                await cluster.members["relay-1"].stands_still()
            await acknowledged(workload, 50)
            cluster.members["relay-1"].resume()
            await acknowledged(workload, 10)


async def test_a_relay_killed_at_any_moment_loses_nothing(make: Make) -> None:
    async with (
        make(names=("api", "relay-1", "projector-1")) as cluster,
        under_load(cluster) as workload,
    ):
        for _ in range(8):
            await cluster.restart("relay-1")
            await acknowledged(workload, 15)


async def test_the_reply_to_an_append_is_lost_again_and_again(make: Make) -> None:
    async with make() as cluster, under_load(cluster) as workload:
        for _ in range(10):
            lost = cluster.to_redis.swallow_next("FCALL append_")
            async with limited(15):
                await lost.fired.wait()
        await acknowledged(workload, 20)


async def test_a_projector_that_stood_still_is_overtaken_and_does_no_harm(make: Make) -> None:
    """It stands between reading and applying, and goes on when another has every lease."""
    async with (
        make(names=("api", "relay-1", "projector-1")) as cluster,
        under_load(cluster) as workload,
    ):
        await cluster.restart("projector-1", "projector.read=stop@3")
        async with limited(15):
            await cluster.members["projector-1"].stands_still()
        before = await _owners(cluster)
        cluster.start("projector-2")
        async with limited(15):
            while await _owners(cluster) & before or await _owned(cluster) < PARTITIONS:
                await asyncio.sleep(0.02)
        cluster.members["projector-1"].resume()
        await acknowledged(workload, 50)


async def _owners(cluster: Cluster) -> set[str]:
    """Who has the leases; each process has one name."""
    async with cluster.redis() as redis:
        return {
            str(await redis.get(key))
            async for key in redis.scan_iter(match=f"tandem:*:{LEASE_PREFIX}:*")
        }


async def _owned(cluster: Cluster) -> int:
    """How many partitions somebody has."""
    async with cluster.redis() as redis:
        return len([key async for key in redis.scan_iter(match=f"tandem:*:{LEASE_PREFIX}:*")])


async def test_the_reply_to_an_apply_is_lost_again_and_again(make: Make) -> None:
    async with make() as cluster, under_load(cluster) as workload:
        for _ in range(10):
            lost = cluster.to_redis.swallow_next("FCALL apply_")
            async with limited(15):
                await lost.fired.wait()
        await acknowledged(workload, 20)


async def test_a_start_that_loses_postgresql_in_its_first_question_goes_on(make: Make) -> None:
    async with make(names=("api",)) as cluster:
        cut = cluster.to_postgres.swallow_next("topology")
        relay = cluster.start("relay-1")
        cluster.start("projector-1")
        async with limited(15):
            await cut.fired.wait()
        async with under_load(cluster) as workload:
            await acknowledged(workload, 20)
        assert relay.running
