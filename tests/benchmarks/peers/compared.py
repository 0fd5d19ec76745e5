"""What the rounds come to: one figure for each peer and question, and its part of one peer's CPU."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import msgspec

from tests.benchmarks.figures import rate, summarise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.benchmarks.plan import Seen


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Medians of the rounds. CPU in microseconds an answer, of the server's processes alone.

    `part` is this peer's CPU over that of the peer that it is measured by, in the median of the rounds.
    """

    peer: str
    per_second: float
    p50: float
    p99: float
    cpu: float | None = None
    stores_cpu: float | None = None
    generator_busy: float = 0.0
    part: float | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """`target`: what Tandem's part may be at most."""

    title: str
    against: str | None = None
    target: float | None = None
    p99_target: float | None = None
    peers: list[Compared]


def compared(rounds: Mapping[str, Sequence[Seen]], against: str | None) -> list[Compared]:
    yard = [cpu_of(seen) for seen in rounds.get(against or "", ())]
    return [_one(name, seen, yard) for name, seen in rounds.items()]


def _one(name: str, rounds: Sequence[Seen], yard: Sequence[float | None]) -> Compared:
    latencies = [found for seen in rounds if (found := summarise(seen.latencies.get("answer", ())))]
    used = [cpu_of(seen) for seen in rounds]
    parts = [a / b for a, b in zip(used, yard, strict=False) if a is not None and b]
    return Compared(
        peer=name,
        per_second=median(rate(seen) for seen in rounds),
        p50=median(one.p50 for one in latencies),
        p99=median(one.p99 for one in latencies),
        cpu=_median(used),
        stores_cpu=_median([_each(seen, seen.cpu.stores) for seen in rounds]),
        generator_busy=max(seen.cpu.generator / seen.seconds for seen in rounds),
        part=median(parts) if parts else None,
    )


def cpu_of(seen: Seen) -> float | None:
    return _each(seen, seen.cpu.service)


def _each(seen: Seen, seconds: float | None) -> float | None:
    answers = len(seen.latencies.get("answer", ()))
    return seconds / answers * 1e6 if seconds is not None and answers else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
