"""A short run under load in which projectors come and go, and each time share the partitions evenly."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from readside.redis_functions.keys import ACTIVE_PREFIX, Partition
from tests.chaos.checker import Violation
from tests.chaos.cluster import PARTITIONS
from tests.chaos.evidence import fingerprint
from tests.chaos.history import History
from tests.chaos.load import PAUSE_SECONDS
from tests.chaos.verdict import at_rest, verdict
from tests.chaos.workload import Workload
from tests.limited import Limit

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster

ALL, HALF = PARTITIONS, PARTITIONS // 2

WITHIN = 6.0
"""Seconds in which partitions move: 5 are promised, and a process that comes has to start first."""


async def sharing(cluster: Cluster, seed: int) -> list[Violation]:
    """What the checker finds, or that somebody has not its share."""
    workload = Workload(
        cluster.port, History(), seed=seed, clients=3, people=20, pause_seconds=PAUSE_SECONDS
    )
    await at_rest(cluster)
    try:
        async with workload.running():
            await _come_to(cluster, HALF, HALF)
            before = await _serving(cluster)
            await cluster.kill("projector-1")
            await _come_to(cluster, ALL)
            cluster.start("projector-1")
            await _come_to(cluster, HALF, HALF)
            cluster.members["projector-2"].terminate()
            await cluster.members["projector-2"].ended()
            await _come_to(cluster, ALL)
        found = (await verdict(cluster, workload)).violations
        after = await _serving(cluster)
        anew = [Violation("moves-without-a-rebuild", f"{before} became {after}")]
        return found + (anew if before != after else [])
    except (AssertionError, TimeoutError) as error:
        return [Violation("shares-evenly", str(error))]


async def _serving(cluster: Cluster) -> list[str]:
    """The generation of each partition: nothing is lost here, so nothing need be built anew."""
    field = f"{ACTIVE_PREFIX}{fingerprint(PARTITIONS, products=True)}"
    async with cluster.redis() as redis:
        places = [Partition(number).generations for number in range(PARTITIONS)]
        return [str(await redis.hget(place, field)) for place in places]


async def _come_to(cluster: Cluster, *shares: int) -> None:
    """Waits until the processes that work have so many partitions each."""
    names = [
        Partition(number).lease(fingerprint(PARTITIONS, products=True))
        for number in range(PARTITIONS)
    ]
    found: list[int] = []
    async with cluster.redis() as redis:
        with Limit(WITHIN) as limit:
            while found != sorted(shares):
                assert not limit.over, f"they share {found}, and not {shares}"
                owners: Any = await redis.mget(names)
                found = sorted(Counter(owner for owner in owners if owner).values())
                await asyncio.sleep(0.05)
