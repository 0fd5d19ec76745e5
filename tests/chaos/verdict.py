"""The end of a run: everything is healed, comes to rest, is read once more, and is judged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from traceback import extract_tb
from typing import TYPE_CHECKING

import msgspec

from tests.chaos.checker import Violation, check
from tests.chaos.cluster import PARTITIONS
from tests.chaos.evidence import Evidence, gather, looks
from tests.chaos.restore_rules import uncertain, unexplained
from tests.limited import Limit

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.workload import Workload

RECOVERS_WITHIN = 5.0
"""Seconds from the last fault until the read model equals the log; on a busy machine, from step to step."""

RESTS_WITHIN = 60.0
"""Seconds in all, however busy the machine is."""

MENDED = {"read-model-is-the-fold", "all-acknowledged", "no-orphans"}
"""Rules about Redis as it is now: they hold once it has been repaired."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    events: int
    """In the log by now."""
    recovered_after: float
    """Seconds after which the read model was seen to be the log."""
    violations: list[Violation]


def restless(error: Exception) -> Violation:
    """It did not come to rest, or to an answer: what the error says, or where it came from."""
    way = extract_tb(error.__traceback__)
    said = str(error) or " > ".join(f"{place.name}:{place.lineno}" for place in way)
    return Violation("comes-to-rest", said)


async def at_rest(
    cluster: Cluster,
    *,
    within: float = RECOVERS_WITHIN,
    meanwhile: Callable[[], None] = lambda: None,
) -> float:
    """Waits until the log is in the read model; answers after how many seconds.

    Fails after `within` seconds in which nothing moved on. `meanwhile` is called before each look.
    """
    began, moved = time.monotonic(), None
    stores = cluster.postgres.url, cluster.redis_url
    with Limit(within) as limit:
        async with looks(*stores, PARTITIONS) as look:
            while True:
                meanwhile()
                found = await look()
                took = time.monotonic() - began
                if found.behind is None:
                    return took
                if found.moved != moved:
                    moved = found.moved
                    limit.renew()
                assert not limit.over, f"after {took:.1f} s: {found.behind}"
                assert took < RESTS_WITHIN, f"after {took:.1f} s, without an end: {found.behind}"
                await asyncio.sleep(
                    min(0.1, 0.02 + took / 10)
                )  # to look again is work for both stores


async def settled(cluster: Cluster, *, within: float = RECOVERS_WITHIN) -> float:
    """Heals everything and waits until nothing is under way; answers after how many seconds.

    It heals at each look: a process may come to its failpoint only now, when a command is carried out whose
    client has gone.
    """
    cluster.mend()
    await cluster.answers(cluster.mend)
    return await at_rest(cluster, within=within, meanwhile=cluster.mend)


async def _ids(cluster: Cluster, table: str) -> list[str]:
    """All of them, also those of which no client was told."""
    async with cluster.database() as connection:
        return [str(row["id"]) for row in await connection.fetch(f"select id from {table}")]


async def _judged(
    cluster: Cluster, workload: Workload, within: float
) -> tuple[Evidence, list[Violation]]:
    await at_rest(cluster, within=within)
    evidence = await gather(cluster.postgres.url, cluster.redis_url, PARTITIONS)
    return evidence, check(uncertain(workload.history, cluster.restores), evidence)


async def verdict(
    cluster: Cluster, workload: Workload, *, within: float = RECOVERS_WITHIN
) -> Verdict:
    """Judges the run so far. No client may be at work."""
    carried_after = await settled(cluster, within=within)
    users, products = await _ids(cluster, "users"), await _ids(cluster, "products")
    within_all = 10.0 + 0.02 * (len(users) + len(products))
    await workload.read_everyone(users, products, within=within_all)
    began = time.monotonic() - carried_after  # reading everybody takes its time, and is no recovery
    recovered_after, evidence, found = carried_after, *await _judged(cluster, workload, within)
    with Limit(within) as limit:
        # What Redis lost is noticed within a second, and then made anew.
        while found and not limit.over and not {one.rule for one in found} - MENDED:
            await asyncio.sleep(
                min(0.5, max(0.1, recovered_after / 5))
            )  # a look takes all there is
            recovered_after, before = time.monotonic() - began, found
            evidence, found = await _judged(cluster, workload, within)
            if found != before:
                limit.renew()
    complaints = [
        Violation("no-complaints", line)
        for line in unexplained(cluster.complaints(), cluster.restores)
    ]
    return Verdict(
        events=len(evidence.events), recovered_after=recovered_after, violations=found + complaints
    )
