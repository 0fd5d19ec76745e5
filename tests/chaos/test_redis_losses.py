"""Redis loses something under load: everything, a key, its functions, unread entries, its last writes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from readside.redis_functions.keys import ACTIVE_PREFIX, Keys, Partition
from tests.chaos import replica
from tests.chaos.cluster import PARTITIONS
from tests.chaos.conftest import Make
from tests.chaos.load import acknowledged, answered, under_load
from tests.chaos.model import SHARED
from tests.chaos.stores import valkey
from tests.limited import limited

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster

PARTS = ["stream", "cursor", "generations", "group"]
INDEXES = [*SHARED, "counters"]
OWN = ["user", "orders", "closed"]


async def test_a_redis_emptied_again_and_again_is_filled_again(make: Make) -> None:
    async with make() as cluster, under_load(cluster) as workload:
        for _ in range(3):
            async with cluster.redis() as redis:
                await redis.flushall()
            await acknowledged(workload, 30)
            await answered(workload, 30)


async def test_lost_functions_are_loaded_again(make: Make) -> None:
    async with make() as cluster, under_load(cluster) as workload:
        for _ in range(5):
            async with cluster.redis() as redis:
                await redis.function_flush()
            await acknowledged(workload, 10)


@pytest.mark.parametrize("lost", [PARTS, INDEXES, OWN], ids=["parts", "indexes", "of-users"])
async def test_deleted_keys_come_back(make: Make, lost: list[str]) -> None:
    async with make() as cluster, under_load(cluster) as workload:
        for name in lost:
            await _delete(cluster, name)
            await acknowledged(workload, 20)


@pytest.mark.parametrize("appendonly", [True, False], ids=["with-file", "without-file"])
async def test_a_redis_killed_and_started_again(make: Make, appendonly: bool) -> None:
    async with make(appendonly=appendonly) as cluster, under_load(cluster) as workload:
        for _ in range(3):
            await cluster.valkey.kill()
            await acknowledged(workload, 10)  # commands need no Redis
            await cluster.valkey.start()
            await answered(workload, 20)


async def test_a_stream_trimmed_before_it_was_read(make: Make) -> None:
    async with make() as cluster, under_load(cluster) as workload:
        for name in ("projector-1", "projector-2"):
            cluster.members[name].pause()
        await acknowledged(workload, 20)
        async with cluster.redis() as redis:
            for partition in range(PARTITIONS):
                await redis.xtrim(Partition(partition).stream, maxlen=0, approximate=False)
        cluster.heal()
        await acknowledged(workload, 20)


async def test_a_failover_to_a_replica_that_lost_acknowledged_writes(make: Make) -> None:
    """What the replica never got comes from the log. Reads without minVersion may show older data once."""
    async with make() as cluster, valkey(cluster.place / "r") as other:
        await replica.follow(cluster.valkey, other)
        async with under_load(cluster, lossy=True) as workload:
            await acknowledged(workload, 30)
            await replica.promote(other)
            await acknowledged(workload, 50)  # which the replica does not hear of
            await cluster.valkey.kill()
            cluster.to_redis.lead_to(other.url)
            cluster.valkey.url = other.url
            await acknowledged(workload, 30)
            await answered(workload, 30)


async def _delete(cluster: Cluster, name: str) -> None:
    """In the partition 0, or of a user there."""
    partition = Partition(0)
    async with cluster.redis() as redis:
        keys = await _serving(redis, partition)
        if name == "group":
            await redis.xgroup_destroy(partition.stream, keys.generation)
        elif name in PARTS:
            await redis.delete(getattr(partition, name))
        elif name in INDEXES:
            await redis.delete(keys.shared_key(name))
        else:
            users: Any = await redis.zrange(keys.index("users"), 0, 0)
            await redis.delete(keys.owned_key(name, users[0]))


async def _serving(redis: Redis, partition: Partition) -> Keys:
    async with limited(10):
        while True:
            fields: Any = await redis.hgetall(partition.generations)
            for field, name in fields.items():
                if field.startswith(ACTIVE_PREFIX):
                    return Keys(partition, name)
            await asyncio.sleep(0.01)
