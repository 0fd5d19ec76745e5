"""What a change costs that many watch: many watchers of one user, and as many users as watchers."""

from __future__ import annotations

import resource
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from tests.benchmarks import questions
from tests.benchmarks.figures import Table, summarise
from tests.benchmarks.peers.cluster import cluster
from tests.benchmarks.peers.servers import (
    MERCURIUS_WATCHED,
    TANDEM_1,
    TANDEM_WATCHED,
    Peer,
    place_node_programs,
    served,
)
from tests.benchmarks.plan import Watched, WatchPlan

if TYPE_CHECKING:
    from typing import Literal

    from tests.benchmarks.bench import Bench

CHANGES = 20
"""Of one user, the next one when all have received the last."""

RATE = 100.0
"""Changes a second, where each user has one watcher."""

HEADINGS = (
    *("userChanged", "CPU µs a delivery", "target", "last ms", "p50 ms", "p99 ms", "target"),
    *("CPU µs to open", "memory each, KB"),
)


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """`cpu`: target in microseconds a delivery; `milliseconds`: of the last delivery, or of p99."""

    watchers: int
    users: int
    cpu: float
    milliseconds: float

    @property
    def title(self) -> str:
        if self.users == 1:
            return f"{self.watchers:,} watchers of one user"
        return f"{self.watchers:,} watchers of {self.users:,} users, {RATE:.0f} changes/s"


CROWDS = (
    Crowd(watchers=1_000, users=1, cpu=25, milliseconds=30),
    Crowd(watchers=10_000, users=10_000, cpu=40, milliseconds=20),
)
WAYS: tuple[tuple[Peer, Literal["SSE", "WebSocket"]], ...] = (
    (TANDEM_WATCHED, "SSE"),
    (TANDEM_WATCHED, "WebSocket"),
    (MERCURIUS_WATCHED, "WebSocket"),
)


async def watchers(bench: Bench) -> None:
    """Each server is a process of its own, and so are the one that changes the users, and the watchers."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # of all processes started from here
    crowds, rows = CROWDS[:1] if bench.options.quick else CROWDS, []
    async with AsyncExitStack() as stack:
        async with bench.step("stores, relay and projector"):
            ground = await stack.enter_async_context(cluster(bench.directory / "watchers", 1))
            await place_node_programs(ground)
            writer = await stack.enter_async_context(served(TANDEM_1, ground))
        async with bench.step("users to be watched"):
            number = max(crowd.users for crowd in crowds)
            ids = await questions.create_users(writer.url, number)
        for crowd in crowds:
            for peer, over in WAYS:
                async with served(peer, ground) as server:  # a new one, for its memory
                    plan = WatchPlan(
                        over=over,
                        url=server.url,
                        pid=server.pid,
                        writer=writer.url,
                        ids=ids[: crowd.users],
                        watchers=crowd.watchers,
                        changes=CHANGES if crowd.users == 1 else int(RATE * bench.options.seconds),
                        rate=0.0 if crowd.users == 1 else RATE,
                    )
                    name = f"{crowd.title}: {peer.name.split(',')[0]}, {over}"
                    rows.append(_row(name, crowd, await bench.watch(name, plan)))
    bench.found.tables.append(Table(headings=HEADINGS, rows=rows))


def _row(name: str, crowd: Crowd, watched: Watched) -> list[str]:
    times = summarise(watched.latencies)
    assert times is not None
    own = "tandem" in name
    return [
        name,
        f"{watched.cpu / len(watched.latencies) * 1e6:.0f}",
        f"{crowd.cpu:.0f}" if own else "",
        f"{median(watched.last) * 1e3:.1f}" if crowd.users == 1 else "",
        f"{times.p50:.1f}",
        f"{times.p99:.1f}",
        "" if not own else f"{'last' if crowd.users == 1 else 'p99'} {crowd.milliseconds:.0f}",
        f"{watched.opening_cpu / crowd.watchers * 1e6:.0f}",
        f"{watched.memory / crowd.watchers / 1e3:.1f}",
    ]
