"""What createProduct costs beside createUser: group commit is for the creations of any aggregate."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.benchmarks import history
from tests.benchmarks.figures import Table, cells, row
from tests.benchmarks.peers.cluster import cluster
from tests.benchmarks.peers.servers import Peer, served
from tests.benchmarks.plan import Plan, Workload
from tests.products.install import SQL, fingerprint

if TYPE_CHECKING:
    from tests.benchmarks.bench import Bench
    from tests.benchmarks.plan import Seen

PROGRAM = (sys.executable, "-m", "tests.benchmarks.with_products")
WITH_PRODUCTS = Peer(name="tandem, products", command=lambda _: (*PROGRAM, "api"), environment={})
MUTATIONS: dict[Workload, str] = {"create_user": "createUser", "create_product": "createProduct"}
HEADINGS = (
    *("with a second aggregate", "CPU µs, API", "CPU µs, stores"),
    *("per s", "p50 ms", "p99 ms"),
)


async def second_aggregate(bench: Bench) -> None:
    options = bench.options
    seen: dict[Workload, list[Seen]] = {workload: [] for workload in MUTATIONS}
    async with (
        cluster(
            bench.directory / "products",
            1,
            program=PROGRAM,
            fingerprint=f"{fingerprint()}-{history.PARTITIONS}",
            tables=SQL,
        ) as ground,
        served(WITH_PRODUCTS, ground) as server,
    ):
        for turn in range(options.rounds + 1):
            for workload, mutation in MUTATIONS.items():
                plan = Plan(
                    workload=workload,
                    url=server.url,
                    connections=options.connections,
                    seconds=options.seconds,
                    warm_up=options.warm_up,
                    service=[server.pid],
                    stores=ground.store_pids,
                )
                found = await bench.generate(mutation, plan)
                if turn:  # the first warms up
                    seen[workload].append(found)
    rows = [cells(row(mutation, seen[workload])) for workload, mutation in MUTATIONS.items()]
    bench.found.tables.append(Table(headings=HEADINGS, rows=rows))
