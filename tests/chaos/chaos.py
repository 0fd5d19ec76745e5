"""A long run: a cluster under load, to which things happen by a schedule that its seed determines.

It goes in rounds. After each the clients stop, everything is healed, and the whole history so far is judged.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from random import Random
from typing import TYPE_CHECKING

import msgspec

from tests.chaos.checker import Violation
from tests.chaos.cluster_faults import HAPPENINGS_ON_NODES
from tests.chaos.faults import HAPPENINGS, MORE_LANES, Happening, Lane, slow_commits
from tests.chaos.history import History
from tests.chaos.verdict import RECOVERS_WITHIN, Verdict, at_rest, verdict
from tests.chaos.workload import Workload

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster

EVERY = 0.9
"""Seconds between two happenings, on average."""

ROUND = 30.0
"""Seconds of load between two verdicts."""

_BY_NAME = {one.__name__: one for one in (*HAPPENINGS, *HAPPENINGS_ON_NODES)}


_LANES = {**HAPPENINGS_ON_NODES, **HAPPENINGS}


class Planned(msgspec.Struct, frozen=True):
    """Something that will happen."""

    at: float
    """Seconds from the beginning of its round."""
    name: str
    seed: int
    """Of its own dice."""


class Report(msgspec.Struct, kw_only=True):
    """What a run came to."""

    seed: int
    seconds: float = 0.0
    """Under load; the judging between the rounds does not count."""
    happened: Counter[str] = msgspec.field(default_factory=Counter)
    commands: Counter[str] = msgspec.field(default_factory=Counter)
    """By outcome."""
    reads: Counter[str] = msgspec.field(default_factory=Counter)
    changes: int = 0
    """Versions that watchers were told."""
    """By error code; '' were not answered, 'answered' were."""
    recoveries: list[float] = []
    """Seconds from the end of each round until the read model was the log."""
    violations: list[Violation] = []
    events: int = 0

    @property
    def kills(self) -> int:
        """How many times a process or a store was killed."""
        return sum(
            times for name, times in self.happened.items() if name.startswith(("kill", "crash"))
        )


def schedule(
    happenings: dict[Happening, tuple[Lane, int]], seed: str, seconds: float, every: float = EVERY
) -> list[Planned]:
    """What happens within so many seconds: the same for the same seed."""
    random = Random(seed)
    weights = [weight for _, weight in happenings.values()]
    planned, at = [], random.expovariate(1 / every)
    while at < seconds:
        [happening] = random.choices(list(happenings), weights)
        planned.append(Planned(at, happening.__name__, random.getrandbits(32)))
        at += random.expovariate(1 / every)
    return planned


async def chaos(
    cluster: Cluster,
    *,
    seed: int,
    seconds: float,
    every: float = EVERY,
    clients: int = 8,
    people: int = 60,
    tell: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Lets things happen for so many seconds in all, or until a promise is broken. `tell` sees it grow."""
    report = Report(seed=seed)
    workload = Workload(cluster.port, History(), seed=seed, clients=clients, people=people)
    await at_rest(cluster)
    await slow_commits(cluster)
    happenings = HAPPENINGS_ON_NODES if cluster.has_nodes else HAPPENINGS
    rounds = max(1, round(seconds / ROUND))
    for number in range(rounds):
        planned = schedule(happenings, f"{seed} {number}", seconds / rounds, every)
        began, before = time.monotonic(), report.seconds
        async with workload.running():
            telling = asyncio.create_task(_tell(report, workload, tell))
            await _happen(cluster, planned, report)
            await asyncio.sleep(began + seconds / rounds - time.monotonic())
            telling.cancel()
        report.seconds = before + time.monotonic() - began
        judged = await verdict(cluster, workload)
        _count(report, workload, judged)
        tell(report)
        if report.violations:
            break
    return report


async def _happen(cluster: Cluster, planned: list[Planned], report: Report) -> None:
    """All of it, each in its time; what meddles with the same thing takes turns."""
    lanes: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
    began = time.monotonic()

    async def happen(one: Planned) -> None:
        await asyncio.sleep(began + one.at - time.monotonic())
        happening = _BY_NAME[one.name]
        async with AsyncExitStack() as stack:
            for lane in (_LANES[happening][0], *MORE_LANES.get(happening, ())):
                await stack.enter_async_context(lanes[lane])
            await happening(cluster, Random(one.seed))
        report.happened[one.name] += 1

    async with asyncio.TaskGroup() as group:
        for one in planned:
            group.create_task(happen(one))


async def _tell(report: Report, workload: Workload, tell: Callable[[Report], None]) -> None:
    while True:
        await asyncio.sleep(1.0)
        report.seconds += 1.0
        _count(report, workload, None)
        tell(report)


def _count(report: Report, workload: Workload, judged: Verdict | None) -> None:
    report.commands = Counter(call.outcome for call in workload.history.calls)
    report.changes = sum(len(watched.told) for watched in workload.history.watches)
    report.reads = Counter(
        "answered" if seen.code is None else seen.code for seen in workload.history.reads
    )
    if judged is not None:
        report.recoveries.append(judged.recovered_after)
        report.violations = judged.violations + _late(judged)
        report.events = judged.events


def _late(judged: Verdict) -> list[Violation]:
    """A long run has its machine to itself, so that a limit in seconds means something."""
    if judged.recovered_after <= RECOVERS_WITHIN:
        return []
    what = f"the read model was the log after {judged.recovered_after:.1f} s"
    return [Violation("recovers-in-time", what)]
