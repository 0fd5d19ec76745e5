"""`user by id` of Tandem against a stock strawberry app, in alternating rounds of one run."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from tests.benchmarks import stock
from tests.benchmarks.figures import Figure, rate, row
from tests.benchmarks.services import stock as stock_service

if TYPE_CHECKING:
    from tests.benchmarks.bench import Bench
    from tests.benchmarks.plan import Seen
    from tests.benchmarks.services import Service


async def yardstick(bench: Bench, tandem: Service) -> None:
    if tandem.stores is None:
        raise TypeError("the yardstick reads the stores of a service that the benchmark started")
    await _copy_users(bench, tandem.stores.redis_url)
    ours: list[Seen] = []
    theirs: list[Seen] = []
    rounds = bench.options.rounds
    async with stock_service(tandem, tandem.stores.redis_url, bench.directory) as yard:
        for number in range(1, rounds + 1):
            which = f"round {number} of {rounds}"
            ours.append(await bench.measure(f"tandem, {which}", "user_by_id", tandem))
            theirs.append(await bench.measure(f"stock, {which}", "user_by_id", yard))
    _report(bench, ours, theirs)


async def _copy_users(bench: Bench, redis_url: str) -> None:
    async with stock.connect(redis_url) as redis:
        await stock.write(redis, bench.users)


def _report(bench: Bench, ours: list[Seen], theirs: list[Seen]) -> None:
    tandem = row("user by id, tandem's rounds", ours)
    yard = row("user by id, stock's rounds", theirs)
    bench.found.rows += [tandem, yard]
    ratios = [rate(a) / rate(b) for a, b in zip(ours, theirs, strict=True) if rate(b)]
    if not ratios:
        return
    times = {
        "throughput, tandem : stock (median round)": median(ratios),
        "throughput, tandem : stock (worst round)": min(ratios),
        "throughput, tandem : stock (best round)": max(ratios),
    }
    if tandem.service_cpu and yard.service_cpu:
        times["CPU a request, stock : tandem"] = yard.service_cpu / tandem.service_cpu
    bench.found.figures += [Figure(name=name, value=v, unit="x") for name, v in times.items()]
