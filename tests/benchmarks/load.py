"""The load generator: a process of its own, a plan in on stdin as JSON, what it saw out in a file.

Apart from the benchmark's own process, so that drawing a progress bar never delays a request.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path

import msgspec
import uvloop

from tests.benchmarks import closed_loop, cpu, open_loop
from tests.benchmarks.plan import OPEN, CpuUsed, Plan, Seen, Tally


async def drive(plan: Plan) -> Seen:
    tally = Tally()
    is_open = plan.workload in OPEN
    load = open_loop.mutations if is_open else closed_loop.questions_without_end
    async with asyncio.TaskGroup() as group:
        loading = group.create_task(load(plan, tally))
        seconds, used = await _measure(plan, tally)
        if is_open:
            await loading  # every mutation that was sent is followed to its end
        loading.cancel()
    return Seen(
        seconds=seconds,
        latencies=tally.latencies,
        polls=tally.polls,
        failed=tally.failed,
        first_failure=tally.first_failure,
        cpu=used,
    )


async def _measure(plan: Plan, tally: Tally) -> tuple[float, CpuUsed]:
    """Sleeps through the warm-up, then through the measured seconds, reading clocks around them."""
    await asyncio.sleep(plan.warm_up)
    service, stores = cpu.of_trees(plan.service), cpu.of_trees(plan.stores)
    own, began = time.process_time(), time.perf_counter()
    tally.measuring = True
    await asyncio.sleep(plan.seconds)
    tally.measuring = False
    return time.perf_counter() - began, CpuUsed(
        service=_since(service, cpu.of_trees(plan.service)),
        stores=_since(stores, cpu.of_trees(plan.stores)),
        generator=time.process_time() - own,
    )


def _since(before: float | None, now: float | None) -> float | None:
    return None if before is None or now is None else now - before


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real exception of nested groups."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    gc.freeze()
    sys.setswitchinterval(0.0005)  # by default the pacing thread may wait 5 ms for its turn
    try:
        seen = uvloop.run(drive(plan))
    except* ConnectionError as lost:
        sys.exit(f"{plan.url}: {_first(lost)}.")
    Path(sys.argv[1]).write_bytes(msgspec.json.encode(seen))


if __name__ == "__main__":
    main()
