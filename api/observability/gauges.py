"""How things are at the moment, as Prometheus is told: the pools of this process, and the whole pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from readside.redis_connection.client import busy_connections

if TYPE_CHECKING:
    import asyncpg
    from redis.asyncio import Redis

    from api.observability.pipeline import PipelineStatus
    from readside.redis_connection.connection import MultiplexedConnection


def of_pool(pool: asyncpg.Pool) -> Metric:
    told = GaugeMetricFamily(
        "tandem_database_connections", "Of this process's pool.", labels=["state"]
    )
    told.add_metric(["idle"], pool.get_idle_size())
    told.add_metric(["busy"], pool.get_size() - pool.get_idle_size())
    told.add_metric(["unopened"], pool.get_max_size() - pool.get_size())
    return told


def of_clients(clients: Mapping[str, Redis], link: MultiplexedConnection | None) -> Metric:
    told = GaugeMetricFamily(
        "tandem_redis_connections_busy", "On which somebody waits.", labels=["use"]
    )
    for use, client in clients.items():
        told.add_metric([use], busy_connections(client))
    if link is not None:
        told.add_metric(["reads"], link.in_flight > 0)
    return told


def of_link(link: MultiplexedConnection) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "tandem_reads_in_flight",
        "Commands of queries that Redis has not answered yet.",
        value=link.in_flight,
    )
    yield CounterMetricFamily(
        "tandem_reads_reconnects",
        "How often their connection was made anew.",
        value=max(0, link.connect_count - 1),
    )
    refused = CounterMetricFamily(
        "tandem_reads_refused", "Questions of queries without an answer.", labels=["code"]
    )
    refused.add_metric(["OVERLOADED"], link.rejected_count)
    refused.add_metric(["READ_MODEL_UNAVAILABLE"], link.failed_count)
    yield refused


def of_stores(look: PipelineStatus) -> Iterator[Metric]:
    up = GaugeMetricFamily("tandem_store_up", "Whether a store answers.", labels=["store"])
    up.add_metric(["postgresql"], look.writes is None)
    up.add_metric(["redis"], look.reads is None)
    yield up


def of_upkeep(look: PipelineStatus) -> Iterator[Metric]:
    if look.upkeep is None:
        return
    left = look.upkeep.erasures
    for name, text, value in (
        ("erasures_unfinished", "Erased users whose events are not all blanked yet.", left.users),
        ("erasure_events", "Events of theirs that are left.", left.events),
        ("erasure_seconds", "Time since the first of them was erased, 0 if none.", left.oldest),
        ("idempotency_oldest_seconds", "Age of the oldest key.", look.upkeep.oldest_key),
    ):
        yield GaugeMetricFamily(f"tandem_{name}", text, value=value)


def of_partitions(look: PipelineStatus) -> Iterator[Metric]:
    logs = [(str(one.number), one.backlog) for one in look.partitions if one.backlog is not None]
    known = [(number, log) for number, log in logs if log.unpublished is not None]
    models = [
        (str(one.number), one.standing) for one in look.partitions if one.standing is not None
    ]
    yield _gauge(
        "relay_unpublished_events",
        "Events that are not in the stream, 1,000 at most.",
        [(n, log.unpublished) for n, log in known],
    )
    yield _gauge(
        "relay_unpublished_seconds",
        "Age of the oldest of them, 0 if there is none.",
        [(n, log.oldest or 0.0) for n, log in known],
    )
    yield _gauge(
        "relay_foreign_events",
        "Events of a restored dump that only a rebuild carries, 1,000 at most.",
        [(n, log.foreign) for n, log in logs],
    )
    yield _gauge(
        "stream_entries", "Entries of the stream.", [(n, one.entries) for n, one in models]
    )
    yield _gauge(
        "stream_held_entries",
        "Entries that a group keeps in the stream, other than that of the generation that serves; the most.",
        [
            (n, max((group.entries for group in one.kept_back.values()), default=0))
            for n, one in models
        ],
    )
    yield _gauge(
        "projector_lag_events",
        "Entries that are not applied.",
        [(n, one.behind) for n, one in models],
    )
    yield _gauge(
        "projector_lag_seconds",
        "Age of the oldest of them, 0 if there is none.",
        [(n, one.lag or 0.0) for n, one in models],
    )
    yield _gauge(
        "read_model_served",
        "Whether a generation serves.",
        [(n, one.generation is not None) for n, one in models],
    )
    yield _gauge(
        "read_model_building",
        "Generations that do not serve.",
        [(n, len(one.building)) for n, one in models],
    )
    yield _gauge(
        "read_model_held",
        "Users too many that a complete generation parks, which does not serve therefore; 0 if none is held.",
        [(n, one.held.more if one.held else 0) for n, one in models],
    )
    yield _gauge(
        "rebuild_events_done",
        "Events that are in the generation that is being built; 0 if none is.",
        [(n, one.progress.done if one.progress else 0) for n, one in models],
    )
    yield _gauge(
        "rebuild_events_expected",
        "Events of the log when it was begun; 0 if none is.",
        [(n, one.progress.expected if one.progress else 0) for n, one in models],
    )
    yield _gauge("parked_users", "Users who are set aside.", [(n, one.parked) for n, one in models])
    yield _gauge(
        "lost_users", "Users who are to be made anew.", [(n, one.lost) for n, one in models]
    )


def _gauge(name: str, text: str, values: Sequence[tuple[str, float | None]]) -> Metric:
    """By partition; one whose value is None is left out."""
    told = GaugeMetricFamily(f"tandem_{name}", text, labels=["partition"])
    for partition, value in values:
        if value is not None:
            told.add_metric([partition], value)
    return told
