"""Prometheus metrics of present state: connections of this process, and the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import asyncpg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from api.observability.pipeline import PipelineStatus
from readside.admin.partition_status import PartitionStatus
from readside.redis_connection.client import Client
from readside.redis_connection.cluster_connection import ReadConnection


def pool_metric(pool: asyncpg.Pool) -> Metric:
    size, idle = pool.get_size(), pool.get_idle_size()
    states = {"idle": idle, "busy": size - idle, "unopened": pool.get_max_size() - size}
    return _gauge(
        "database_connections", "PostgreSQL connections of this process.", states, "state"
    )


def redis_clients_metric(clients: Mapping[str, Client], reads: ReadConnection | None) -> Metric:
    busy: dict[str, float] = {use: float(client.busy) for use, client in clients.items()}
    if reads is not None:
        busy["reads"] = reads.in_flight > 0
    return _gauge("redis_connections_busy", "Redis connections that await a reply.", busy, "use")


def reads_metrics(reads: ReadConnection) -> Iterator[Metric]:
    """Yields the metrics of the connection that answers queries."""
    yield GaugeMetricFamily(
        "tandem_reads_in_flight",
        "Redis commands of queries that await a reply.",
        value=reads.in_flight,
    )
    yield CounterMetricFamily(
        "tandem_reads_reconnects",
        "Reconnects of the connection of queries.",
        value=max(0, reads.connect_count - 1),
    )
    refused = CounterMetricFamily(
        "tandem_reads_refused", "Redis requests of queries that failed.", labels=["code"]
    )
    refused.add_metric(["OVERLOADED"], reads.rejected_count)
    refused.add_metric(["READ_MODEL_UNAVAILABLE"], reads.failed_count)
    yield refused


def store_metric(status: PipelineStatus) -> Metric:
    up = {"postgresql": status.postgresql_error is None, "redis": status.redis_error is None}
    return _gauge("store_up", "1 if the store responds.", up, "store")


def upkeep_metrics(status: PipelineStatus) -> Iterator[Metric]:
    if status.upkeep is None:
        return
    pending, oldest_key = status.upkeep.erasures, status.upkeep.oldest_key
    unfinished = "Erased aggregates of which the log still holds personal data."
    for name, text, value in (
        ("erasures_unfinished", unfinished, pending.aggregates),
        ("erasure_events", "Their events that still hold personal data.", pending.events),
        ("erasure_seconds", "Age of the oldest unfinished erasure, 0 if none.", pending.oldest),
        ("idempotency_oldest_seconds", "Age of the oldest idempotency key.", oldest_key),
    ):
        yield GaugeMetricFamily(f"tandem_{name}", text, value=value)


def partition_metrics(status: PipelineStatus) -> Iterator[Metric]:
    backlogs = [(view.number, view.backlog) for view in status.partitions if view.backlog]
    known = [(number, log) for number, log in backlogs if log.unpublished is not None]
    yield _gauge(
        "relay_unpublished_events",
        "Events that are not in the stream yet, counted up to 1,000.",
        {number: log.unpublished for number, log in known},
    )
    yield _gauge(
        "relay_unpublished_seconds",
        "Age of the oldest of them, 0 if none.",
        {number: log.oldest or 0.0 for number, log in known},
    )
    yield _gauge(
        "relay_foreign_events",
        "Events of a restored dump, which reach the read model by a rebuild only, counted up to 1,000.",
        {number: log.foreign for number, log in backlogs},
    )
    partitions = [(view.number, view.status) for view in status.partitions if view.status]
    for name, text, value in _READ_MODEL:
        yield _gauge(name, text, {number: value(partition) for number, partition in partitions})


_READ_MODEL: tuple[tuple[str, str, Callable[[PartitionStatus], float | None]], ...] = (
    ("stream_entries", "Entries of the stream.", lambda one: one.entries),
    (
        "stream_held_entries",
        "Most entries that a consumer group retains, other than that of the active generation.",
        lambda one: max((group.entries for group in one.kept_back.values()), default=0),
    ),
    ("projector_lag_events", "Entries that are not applied yet.", lambda one: one.behind),
    ("projector_lag_seconds", "Age of the oldest of them, 0 if none.", lambda one: one.lag or 0.0),
    ("read_model_served", "1 if a generation is active.", lambda one: one.generation is not None),
    ("read_model_building", "Generations that are not active.", lambda one: len(one.building)),
    (
        "read_model_held",
        "Parked aggregates above the limit, which block the activation of a complete generation; 0 if none.",
        lambda one: one.held.more if one.held else 0,
    ),
    (
        "rebuild_events_done",
        "Events that the generation being built has; 0 if none is.",
        lambda one: one.progress.done if one.progress else 0,
    ),
    (
        "rebuild_events_expected",
        "Events of the log when that generation was started; 0 if none is.",
        lambda one: one.progress.expected if one.progress else 0,
    ),
    ("parked_users", "Aggregates whose events are parked.", lambda one: one.parked),
    ("lost_users", "Aggregates that need a resync.", lambda one: one.lost),
)
"""Name, help text and value of each gauge of a partition's stream and read model."""


def _gauge(
    name: str, text: str, values: Mapping[Any, float | None], label: str = "partition"
) -> Metric:
    metric = GaugeMetricFamily(f"tandem_{name}", text, labels=[label])
    for of, value in values.items():
        if value is not None:
            metric.add_metric([str(of)], value)
    return metric
