"""How long `tandem up` takes until its first answered query: the first start and later ones."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from tests.benchmarks.figures import Figure
from tests.benchmarks.services import tandem_up

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.bench import Bench

LATER_STARTS = 3


async def start_up(bench: Bench) -> None:
    data_dir, log = bench.directory / "up", bench.directory / "up.log"
    async with bench.step("tandem up, first start"):
        first, stopped = await _start_and_stop(data_dir, log)
    later = []
    for number in range(1, LATER_STARTS + 1):
        async with bench.step(f"tandem up, later start {number}"):
            seconds, stopped = await _start_and_stop(data_dir, log)
            later.append(seconds)
    bench.found.figures += [
        Figure(name="tandem up answers, empty data directory", value=first, unit="s"),
        Figure(name="tandem up answers, later start (median)", value=median(later), unit="s"),
        Figure(name="tandem up answers, later start (slowest)", value=max(later), unit="s"),
        Figure(name="tandem up stops after SIGTERM (last)", value=stopped, unit="s"),
    ]


async def _start_and_stop(data_dir: Path, log: Path) -> tuple[float, float]:
    began = time.perf_counter()
    async with tandem_up(data_dir, log) as service:
        started = service.answered_at - began
        stopping = time.perf_counter()
    return started, time.perf_counter() - stopping
