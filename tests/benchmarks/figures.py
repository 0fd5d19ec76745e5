"""What a run found: one row for each measurement, one figure for each single number."""

from __future__ import annotations

from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.peers.compared import Question
    from tests.benchmarks.plan import Seen
    from tests.benchmarks.scale.model import Cell


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds."""

    p50: float
    p99: float
    max: float


def summarise(seconds: Sequence[float]) -> Latency | None:
    """The percentiles of these durations, None when nothing was measured."""
    if not seconds:
        return None
    if len(seconds) == 1:  # before Python 3.13 quantiles wants two
        seconds = [*seconds, *seconds]
    cuts = quantiles(seconds, n=100, method="inclusive")
    return Latency(p50=cuts[49] * 1e3, p99=cuts[98] * 1e3, max=max(seconds) * 1e3)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """CPU in microseconds for one answer; `generator_busy` is the generator's share of one core."""

    name: str
    answers: int
    failed: int = 0
    first_failure: str | None = None
    per_second: float | None = None
    latency: Latency | None = None
    service_cpu: float | None = None
    stores_cpu: float | None = None
    generator_busy: float | None = None


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    value: float
    unit: str


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Figures that belong together, as text. The first cell of a row is its name."""

    headings: tuple[str, ...]
    rows: list[list[str]]


class Found(msgspec.Struct, kw_only=True):
    """Everything one run found; this is what the JSON holds."""

    configuration: dict[str, Any]
    rows: list[Row] = []
    figures: list[Figure] = []
    questions: list[Question] = []
    tables: list[Table] = []
    cells: list[Cell] = []
    notes: list[str] = []

    @property
    def failed(self) -> int:
        return sum(row.failed for row in self.rows)


def row(name: str, rounds: Sequence[Seen], measure: str = "answer", *, cpu: bool = True) -> Row:
    """One row of one or more rounds: median throughput, all latencies pooled, all CPU summed."""
    pooled = [seconds for seen in rounds for seconds in seen.latencies.get(measure, ())]
    service = [seen.cpu.service for seen in rounds if cpu]
    stores = [seen.cpu.stores for seen in rounds if cpu]
    busy = sum(seen.cpu.generator for seen in rounds) / sum(seen.seconds for seen in rounds)
    return Row(
        name=name,
        answers=len(pooled),
        failed=sum(seen.failed for seen in rounds),
        first_failure=next((seen.first_failure for seen in rounds if seen.failed), None),
        per_second=median(rate(seen, measure) for seen in rounds),
        latency=summarise(pooled),
        service_cpu=_micros_each(service, len(pooled)),
        stores_cpu=_micros_each(stores, len(pooled)),
        generator_busy=busy,
    )


def cells(row: Row) -> list[str]:
    """Its name, CPU of service and stores, rate and times of a row."""
    assert row.latency is not None
    return [
        row.name,
        f"{row.service_cpu:.0f}",
        f"{row.stores_cpu:.0f}",
        f"{row.per_second:,.0f}",
        f"{row.latency.p50:.2f}",
        f"{row.latency.p99:.2f}",
    ]


def rate(seen: Seen, measure: str = "answer") -> float:
    return len(seen.latencies.get(measure, ())) / seen.seconds


def _micros_each(used: Sequence[float | None], answers: int) -> float | None:
    known = [seconds for seconds in used if seconds is not None]
    return sum(known) / answers * 1e6 if known and answers else None
