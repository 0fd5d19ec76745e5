"""What can happen to the nodes of a Redis Cluster, beside what happens to the rest of the service.

Each ends when all nodes run, agree on the slots, and every replica follows its primary.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from readside.redis_connection.cluster import slot_of
from tests.chaos.cluster import PARTITIONS
from tests.chaos.faults import HAPPENINGS, fail_over_redis, kill_valkey
from tests.limited import limited
from tests.processes import HOST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from random import Random

    from tests.chaos.cluster import Cluster
    from tests.chaos.faults import Happening, Lane
    from tests.redis_cluster import ClusterNode


async def kill_a_primary(cluster: Cluster, random: Random) -> None:
    """It comes back empty: mostly as a replica of the promoted one, sometimes before one was promoted."""
    node = await _primary(cluster, random)
    await node.kill()
    await asyncio.sleep(random.choice([random.uniform(0.0, 0.5), random.uniform(1.5, 4.0)]))
    await node.start()
    await cluster.nodes.settled()


async def kill_a_replica(cluster: Cluster, random: Random) -> None:
    primaries = (await cluster.nodes.owners()).values()
    node = random.choice([node for node in cluster.nodes.nodes if node not in primaries])
    await node.kill()
    await asyncio.sleep(random.uniform(0.0, 1.0))
    await node.start()
    await cluster.nodes.settled()


async def pause_a_primary(cluster: Cluster, random: Random) -> None:
    """For less than cluster-node-timeout, or for so long that its replica is promoted."""
    node = await _primary(cluster, random)
    node.pause()
    await asyncio.sleep(random.choice([random.uniform(0.1, 0.6), random.uniform(1.5, 4.0)]))
    node.resume()
    await cluster.nodes.settled()


async def promote_a_replica(cluster: Cluster, random: Random) -> None:
    """Without a loss, as an operator does."""
    primaries = set((await cluster.nodes.owners()).values())
    node = random.choice([node for node in cluster.nodes.nodes if node not in primaries])
    await node.command("CLUSTER FAILOVER")
    async with limited(20):
        while not await node.is_primary():
            await asyncio.sleep(0.02)
    await cluster.nodes.settled()


async def move_a_slot_by_key(cluster: Cluster, random: Random) -> None:
    slot, to = await _move(cluster, random)
    await cluster.nodes.move_keys(slot, to, pause=random.uniform(0.0, 0.003))
    await cluster.nodes.finish_move(slot, to)
    await cluster.nodes.settled()


async def move_a_slot_at_once(cluster: Cluster, random: Random) -> None:
    """By the atomic migration of Valkey 9."""
    await cluster.nodes.move_at_once(*await _move(cluster, random))
    await cluster.nodes.settled()


async def lend_a_slot_to_a_new_node(cluster: Cluster, random: Random) -> None:
    """A node joins, has a slot for a while, and leaves."""
    slot, back = await _move(cluster, random)
    async with _new_node(cluster) as node:
        await cluster.nodes.settled()
        await cluster.nodes.move_at_once(slot, node)
        await asyncio.sleep(random.uniform(0.2, 1.0))
        await cluster.nodes.move_at_once(slot, back)
        await cluster.nodes.settled()
    await cluster.nodes.settled()


@asynccontextmanager
async def _new_node(cluster: Cluster) -> AsyncIterator[ClusterNode]:
    node = await cluster.nodes.add()
    async with cluster.to_redis.before((HOST, node.port), node.client_port):
        yield node
    await cluster.nodes.remove(node)


async def empty_a_node(cluster: Cluster, random: Random) -> None:
    await (await _primary(cluster, random)).redis.flushall()


async def restart_all_empty(cluster: Cluster, _: Random) -> None:
    await asyncio.gather(*(node.kill() for node in cluster.nodes.nodes))
    await asyncio.gather(*(node.start() for node in cluster.nodes.nodes))
    await cluster.nodes.settled()


async def _primary(cluster: Cluster, random: Random) -> ClusterNode:
    return random.choice(list((await cluster.nodes.owners()).values()))


async def _move(cluster: Cluster, random: Random) -> tuple[int, ClusterNode]:
    """The slot of a partition, and another primary that may have it."""
    slot = slot_of(cluster.namespace.partition(random.randrange(PARTITIONS)).stream)
    owner, primaries = await cluster.nodes.owner(slot), (await cluster.nodes.owners()).values()
    return slot, random.choice([node for node in primaries if node is not owner])


HAPPENINGS_ON_NODES: dict[Happening, tuple[Lane, int]] = {
    **{one: how for one, how in HAPPENINGS.items() if one not in {kill_valkey, fail_over_redis}},
    kill_a_primary: ("redis", 5),
    kill_a_replica: ("redis", 2),
    pause_a_primary: ("redis", 4),
    promote_a_replica: ("redis", 3),
    move_a_slot_by_key: ("redis", 5),
    move_a_slot_at_once: ("redis", 4),
    lend_a_slot_to_a_new_node: ("redis", 2),
    empty_a_node: ("redis", 2),
    restart_all_empty: ("redis", 1),
}
"""A single Redis that is killed or fails over is a primary that is killed, or a replica that is promoted."""
