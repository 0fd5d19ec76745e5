"""The end of a run: everything is healed, comes to rest, is read once more, and is judged."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from tests.faults.checker import Violation, check
from tests.faults.cluster import PARTITIONS
from tests.faults.evidence import behind, gather

if TYPE_CHECKING:
    from tests.faults.cluster import Cluster
    from tests.faults.workload import Workload

RECOVERS_WITHIN = 5.0
"""Seconds from the last fault until the read model equals the log."""


class Verdict(msgspec.Struct, frozen=True):
    events: int
    """In the log by now."""
    recovered_after: float
    """Seconds after which nothing was under way any more."""
    violations: list[Violation]


async def at_rest(cluster: Cluster, *, within: float = RECOVERS_WITHIN) -> float:
    """Waits until the log is in the read model; answers after how many seconds, and fails after `within`."""
    began = time.monotonic()
    while True:
        phrase = await behind(cluster.postgres.url, cluster.valkey.url, PARTITIONS)
        took = time.monotonic() - began
        if phrase is None:
            return took
        assert took < within, f"after {took:.1f} s: {phrase}"
        await asyncio.sleep(0.02)


async def settled(cluster: Cluster, *, within: float = RECOVERS_WITHIN) -> float:
    """Heals everything and waits until nothing is under way; answers after how many seconds."""
    cluster.heal()
    cluster.replace_ended()
    await cluster.answers()
    return await at_rest(cluster, within=within)


async def verdict(
    cluster: Cluster, workload: Workload, *, within: float = RECOVERS_WITHIN
) -> Verdict:
    """Judges the run so far. No client may be at work."""
    recovered_after = await settled(cluster, within=within)
    await workload.read_everyone(within=60.0)
    await at_rest(cluster, within=within)
    evidence = await gather(cluster.postgres.url, cluster.valkey.url, PARTITIONS)
    complaints = [Violation("no-complaints", line) for line in cluster.complaints()]
    return Verdict(
        len(evidence.events), recovered_after, check(workload.history, evidence) + complaints
    )
