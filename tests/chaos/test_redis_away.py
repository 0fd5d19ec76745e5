"""Redis is full, read-only, loading, silent, or not there at all: commands go on, and all is said in time."""

from __future__ import annotations

import asyncio

from tests.chaos.conftest import Make
from tests.chaos.load import acknowledged, answered, judge, load_of, under_load
from tests.chaos.workload import Workload
from tests.limited import limited

UNAVAILABLE = "READ_MODEL_UNAVAILABLE"


async def told(workload: Workload, code: str, *, within: float = 10.0) -> None:
    """Waits until a query is answered with this code from now on."""
    before = len(workload.history.reads)
    async with limited(within):
        while code not in {seen.code for seen in workload.history.reads[before:]}:
            await asyncio.sleep(0.01)


async def test_a_redis_without_memory_answers_and_takes_up_again(make: Make) -> None:
    async with make() as cluster, under_load(cluster) as workload, cluster.redis() as redis:
        await redis.config_set("maxmemory", "1mb")
        await acknowledged(workload, 20)
        await answered(workload, 20)
        await redis.config_set("maxmemory", "0")


async def test_a_redis_that_takes_no_writes_answers_and_takes_up_again(make: Make) -> None:
    async with make() as cluster, under_load(cluster) as workload, cluster.redis() as redis:
        await redis.config_set("min-replicas-to-write", "1")  # NOREPLICAS
        await acknowledged(workload, 20)
        await answered(workload, 20)
        await redis.config_set("min-replicas-to-write", "0")


async def test_a_redis_turned_replica_answers_and_takes_up_again(make: Make) -> None:
    async with make() as cluster, under_load(cluster) as workload, cluster.redis() as redis:
        await redis.config_set("replica-serve-stale-data", "yes")
        await redis.replicaof("127.0.0.1", "1")  # where nobody is: it only turns READONLY
        await acknowledged(workload, 20)
        await answered(workload, 20)
        await redis.replicaof("NO", "ONE")


async def test_a_redis_that_is_loading_is_waited_for(make: Make) -> None:
    async with make() as cluster, under_load(cluster) as workload:
        async with cluster.redis() as redis:
            for chunk in range(20):  # something to load: its keys are none of ours
                await redis.mset({f"other:{chunk}:{n}": "x" * 100 for n in range(5_000)})
            await redis.config_set("key-load-delay", "20")
        await cluster.valkey.kill()
        starting = asyncio.create_task(cluster.valkey.start())
        await told(workload, UNAVAILABLE)
        await acknowledged(workload, 20)
        await starting
        await answered(workload, 20)


async def test_a_silent_redis_is_told_in_time_and_commands_go_on(make: Make) -> None:
    async with make() as cluster, under_load(cluster) as workload:
        cluster.to_redis.blackhole()
        await told(workload, UNAVAILABLE)
        await acknowledged(workload, 20)
        cluster.to_redis.flow()
        await answered(workload, 20)


async def test_links_to_redis_that_are_half_open_are_left(make: Make) -> None:
    async with make() as cluster, under_load(cluster) as workload:
        cluster.to_redis.half_open()
        await told(workload, UNAVAILABLE)
        await acknowledged(workload, 20)
        await answered(workload, 20, within=30.0)


async def test_without_redis_at_the_start_commands_are_carried_out(make: Make) -> None:
    async with make(names=()) as cluster:
        await cluster.valkey.kill()
        for name in ("api", "relay-1", "projector-1"):
            cluster.start(name)
        await cluster.answers()
        workload = load_of(cluster)
        async with workload.running():
            await acknowledged(workload, 20)
            await told(workload, UNAVAILABLE)
            await cluster.valkey.start()
            await answered(workload, 20)
        await judge(cluster, workload)
