"""Prometheus metrics of this process: counters of what it has done, and the gauges of the pipeline."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from itertools import accumulate, product
from typing import Final

import asyncpg
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

from api.observability import gauges
from api.observability.pipeline import PipelineStatus
from domain.log.relay import Relay
from domain.write.key_retention import KeyRetention
from readside.projection_set import FINGERPRINT
from readside.projector.projector import Projector
from readside.redis_connection.client import Client
from readside.redis_connection.cluster_connection import ReadConnection

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of every histogram, in seconds."""

_BUCKET_LABELS: Final = [*map(floatToGoString, _BUCKETS), "+Inf"]

ALARMING: Final = (
    "INTERNAL",
    "OVERLOADED",
    "DEADLINE_EXCEEDED",
    "WRITE_MODEL_UNAVAILABLE",
    "READ_MODEL_UNAVAILABLE",
)
"""Error codes of operations for which docs/operations.md has an alarm."""

_SAMPLE_INTERVAL_SECONDS: Final = 0.25
"""Interval of measuring the delay of the event loop."""

_OUTCOMES: Final = {0: "duplicate", 1: "applied", 2: "parked", 3: "poison", 4: "filled"}
"""Labels of readside.applier's outcomes; a filled event was missing in the stream and came from the log."""


class TimedCounter:
    """A counter of operations by kind and outcome, with a histogram of their duration by kind.

    Plain numbers until Prometheus collects them: its own counters take a lock, 1 us for every operation.
    """

    def __init__(self, registry: CollectorRegistry, what: str, kind: str, outcome: str) -> None:
        self.total = 0
        """Over all kinds and outcomes."""
        self._what = what
        self._labels = (kind, outcome)
        self._totals: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(_BUCKETS) + 1))
        """By kind; not cumulative. The last bucket has no upper bound."""
        self._seconds: defaultdict[str, float] = defaultdict(float)
        registry.register(self)

    def initialise(self, kinds: Iterable[str], outcomes: Iterable[str]) -> None:
        """Exports 0 until the first operation: Prometheus sees no increase in a counter that starts at 1."""
        for kind, outcome in product(kinds, outcomes):
            self._totals[kind, outcome] += 0

    def count(self, kind: str, outcome: str, seconds: float) -> None:
        self.total += 1
        self._totals[kind, outcome] += 1
        self._buckets[kind][bisect_left(_BUCKETS, seconds)] += 1
        self._seconds[kind] += seconds

    def collect(self) -> Iterator[Metric]:
        """Implements prometheus_client's Collector."""
        what, (kind, outcome) = self._what, self._labels
        total = CounterMetricFamily(
            f"tandem_{what}s", f"{what.capitalize()}s by {kind} and {outcome}.", labels=self._labels
        )
        for labels, number in self._totals.items():
            total.add_metric(labels, number)
        yield total
        duration = HistogramMetricFamily(
            f"tandem_{what}_seconds", f"Duration of {what}s.", labels=[kind]
        )
        for name, counts in self._buckets.items():
            cumulative = zip(_BUCKET_LABELS, accumulate(counts), strict=True)
            duration.add_metric([name], list(cumulative), self._seconds[name])
        yield duration


class Metrics:
    """The metrics of one process. A part that the process does not run has no metrics."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._pool = pool
        self.commands = TimedCounter(self.registry, "command", "command", "outcome")
        self.operations = TimedCounter(self.registry, "operation", "kind", "code")
        self.relay: Relay | None = None
        self.retention: KeyRetention | None = None
        self.projectors: list[Projector] = []
        self.execution_paths: Mapping[str, int] = {}
        """Count of operations by the path of their execution."""
        self.redis_clients: dict[str, Client] = {}
        """By use."""
        self.reads: ReadConnection | None = None
        """The Redis connection that answers queries."""
        self._status: PipelineStatus | None = None
        self._loop_delay = Histogram(
            "tandem_event_loop_delay_seconds",
            "Delay of a timer of the event loop.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        build = Info(
            "tandem_build", "Version and read models of this process.", registry=self.registry
        )
        build.info({"version": version("tandem"), "read_models": FINGERPRINT})
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    async def sample_loop_delay(self) -> None:
        """Measures the delay of the event loop indefinitely."""
        while True:
            due_at = time.monotonic() + _SAMPLE_INTERVAL_SECONDS
            await asyncio.sleep(_SAMPLE_INTERVAL_SECONDS)
            self._loop_delay.observe(max(0.0, time.monotonic() - due_at))

    def render(self, status: PipelineStatus) -> bytes:
        """Returns all metrics in Prometheus's text format."""
        self._status = status
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Implements prometheus_client's Collector."""
        if self._status is not None:
            yield gauges.store_metric(self._status)
            yield from gauges.upkeep_metrics(self._status)
            yield from gauges.partition_metrics(self._status)
        if self.relay is not None:
            yield _counter(
                "relay_appended_events", "Events that this relay has appended.", self.relay.appended
            )
            yield _counter(
                "relay_lost_comparisons",
                "Appends that were refused because another relay had appended first.",
                self.relay.lost_races,
            )
        if self.retention is not None:
            yield _counter(
                "idempotency_keys_deleted",
                "Keys beyond their retention that this process has deleted.",
                self.retention.deleted,
            )
        if self.projectors:
            outcomes = {
                name: sum(projector.outcomes[outcome] for projector in self.projectors)
                for outcome, name in _OUTCOMES.items()
            }
            yield _labelled_counter(
                "projector_events", "Events that this process processed.", "outcome", outcomes
            )
        if self.execution_paths:
            yield _labelled_counter(
                "executions",
                "Operations and events of subscriptions by executor: a compiled plan, graphql-core, or both"
                " because the plan failed.",
                "way",
                self.execution_paths,
            )
        yield gauges.pool_metric(self._pool)
        yield gauges.redis_clients_metric(self.redis_clients, self.reads)
        if self.reads is not None:
            yield from gauges.reads_metrics(self.reads)

    def describe(self) -> list[Metric]:
        """Implements prometheus_client's Collector: no metric is known before it is collected."""
        return []


def _counter(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(f"tandem_{name}", text, value=value)


def _labelled_counter(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    metric = CounterMetricFamily(f"tandem_{name}", text, labels=[label])
    for value, number in values.items():
        metric.add_metric([value], number)
    return metric
