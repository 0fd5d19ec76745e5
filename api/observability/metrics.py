"""What Prometheus is told of this process: what it did, counted as it did it, and how the pipeline is."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import accumulate, product
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from api.observability.gauges import (
    of_clients,
    of_link,
    of_partitions,
    of_pool,
    of_stores,
    of_upkeep,
)
from readside.read_models import FINGERPRINT

if TYPE_CHECKING:
    import asyncpg
    from redis.asyncio import Redis

    from api.observability.pipeline import PipelineStatus
    from domain.log.relay import Relay
    from domain.write.key_retention import KeyRetention
    from readside.projector.projector import Projector
    from readside.redis_connection.connection import MultiplexedConnection

_QUICK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds, the bounds of every histogram's buckets."""

_BOUNDS: Final = [*map(floatToGoString, _QUICK), "+Inf"]
"""As Prometheus writes them."""

ALARMING: Final = (
    "INTERNAL",
    "OVERLOADED",
    "DEADLINE_EXCEEDED",
    "WRITE_MODEL_UNAVAILABLE",
    "READ_MODEL_UNAVAILABLE",
)
"""Codes of operations that docs/operations.md has an alarm for."""

_TICK: Final = 0.25
"""Seconds between two looks at how late the event loop is."""


class TimedCounter:
    """Events of a kind and an outcome: how many, and how long those of a kind took.

    Plain numbers until Prometheus asks: its own counters take a lock for each, 1 us for every operation.
    """

    def __init__(self, registry: CollectorRegistry, what: str, kind: str, outcome: str) -> None:
        self.counted = 0
        """Of all kinds and outcomes."""
        self._what = what
        self._labels = (kind, outcome)
        self._totals: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._quicker: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(_QUICK) + 1))
        """Of each kind, how many took at most so long and longer than the bound before; the last, longer."""
        self._seconds: defaultdict[str, float] = defaultdict(float)
        registry.register(self)

    def expect(self, kinds: Iterable[str], outcomes: Iterable[str]) -> None:
        """Tells 0 until there is one: Prometheus sees no increase in a counter that is born at 1."""
        for kind, outcome in product(kinds, outcomes):
            self._totals[kind, outcome] += 0

    def count(self, kind: str, outcome: str, seconds: float) -> None:
        self.counted += 1
        self._totals[kind, outcome] += 1
        self._quicker[kind][bisect_left(_QUICK, seconds)] += 1
        self._seconds[kind] += seconds

    def collect(self) -> Iterator[Metric]:
        """Prometheus asks this of a collector."""
        what, (kind, outcome) = self._what, self._labels
        told = f"{what.capitalize()}s by {kind} and {outcome}."
        total = CounterMetricFamily(f"tandem_{what}s", told, labels=self._labels)
        for labels, number in self._totals.items():
            total.add_metric(labels, number)
        yield total
        took = f"How long {what}s took."
        seconds = HistogramMetricFamily(f"tandem_{what}_seconds", took, labels=[kind])
        for name, quicker in self._quicker.items():
            up_to = zip(_BOUNDS, accumulate(quicker), strict=True)
            seconds.add_metric([name], list(up_to), self._seconds[name])
        yield seconds


class Metrics:
    """Of one process. The parts that it does not have are not told of."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._pool = pool
        self.commands = TimedCounter(self.registry, "command", "command", "outcome")
        self.operations = TimedCounter(self.registry, "operation", "kind", "code")
        self.relay: Relay | None = None
        self.retention: KeyRetention | None = None
        self.projectors: list[Projector] = []
        self.ways: Mapping[str, int] = {}
        """Operations by how they were executed."""
        self.clients: dict[str, Redis] = {}
        """Of Redis, by what they are for."""
        self.link: MultiplexedConnection | None = None
        """On which queries are answered."""
        self._look: PipelineStatus | None = None
        self._late = Histogram(
            "tandem_event_loop_delay_seconds",
            "How much later than it should a timer of the event loop goes off.",
            buckets=_QUICK,
            registry=self.registry,
        )
        build = Info("tandem_build", "What runs here.", registry=self.registry)
        build.info({"version": version("tandem"), "read_models": FINGERPRINT})
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    async def sample(self) -> None:
        """Looks at the event loop for ever."""
        while True:
            due = time.monotonic() + _TICK
            await asyncio.sleep(_TICK)
            self._late.observe(max(0.0, time.monotonic() - due))

    def told(self, look: PipelineStatus) -> bytes:
        """In Prometheus's text format, with this look at the pipeline."""
        self._look = look
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Prometheus asks this of a collector."""
        if self._look is not None:
            yield from of_stores(self._look)
            yield from of_upkeep(self._look)
            yield from of_partitions(self._look)
        if self.relay is not None:
            yield _counter(
                "relay_appended_events", "Events that this relay has appended.", self.relay.appended
            )
            yield _counter(
                "relay_lost_comparisons",
                "Appends that another relay was faster with.",
                self.relay.lost_races,
            )
        if self.retention is not None:
            yield _counter(
                "idempotency_keys_deleted",
                "Keys beyond their retention that this process has deleted.",
                self.retention.deleted,
            )
        if self.projectors:
            yield _of_projectors(self.projectors)
        if self.ways:
            yield _of_ways(self.ways)
        yield of_pool(self._pool)
        yield of_clients(self.clients, self.link)
        if self.link is not None:
            yield from of_link(self.link)

    def describe(self) -> list[Metric]:
        """None in advance: what there is depends on what is looked at."""
        return []


_OUTCOMES: Final = {0: "duplicate", 1: "applied", 2: "parked", 3: "poison", 4: "filled"}
"""readside.applier's, by their names; a filled one was missing in the stream and came from the log."""


def _of_projectors(projectors: Sequence[Projector]) -> Metric:
    told = CounterMetricFamily(
        "tandem_projector_events", "Events by what this process made of them.", labels=["outcome"]
    )
    for outcome, name in _OUTCOMES.items():
        told.add_metric([name], sum(projector.outcomes[outcome] for projector in projectors))
    return told


def _of_ways(ways: Mapping[str, int]) -> Metric:
    told = CounterMetricFamily(
        "tandem_executions",
        "Operations that went by a plan, by graphql-core, or by both because something was wrong.",
        labels=["way"],
    )
    for way, number in ways.items():
        told.add_metric([way], number)
    return told


def _counter(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(f"tandem_{name}", text, value=value)
