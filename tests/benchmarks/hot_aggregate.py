"""What placeOrder costs on a user of many orders beside one of few, relay and projector included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.ids import new_id
from domain.users.events import OrderId, OrderPlaced, UserCreated
from tests.benchmarks.figures import Table, cells, row
from tests.benchmarks.peers.cluster import cluster
from tests.benchmarks.peers.servers import TANDEM_1, served
from tests.benchmarks.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domain.users.events import UserEvent
    from tests.benchmarks.bench import Bench
    from tests.benchmarks.plan import Seen

ORDERS = (100_000, 10)
"""The ids of users that are made one after another are in this order, if the first takes a millisecond."""

HEADINGS = (
    *("placeOrder on one user, 1 connection", "CPU µs, Tandem", "CPU µs, stores"),
    *("per s", "p50 ms", "p99 ms"),
)
_TABLES = """
    insert into users (id, name, email, email_key, version, created_at, updated_at)
    select user_id, max(data->>'name'), max(data->>'email'), max(data->>'email'), max(version),
        min(occurred_at), max(occurred_at)
    from events group by user_id;
    insert into orders (id, user_id, status, total, placed_at)
    select (data->>'order_id')::uuid, user_id, 'OPEN', (data->>'total')::bigint, occurred_at
    from events where type = 'OrderPlaced';
    analyze users, orders;
"""


async def hot_aggregate(bench: Bench) -> None:
    options = bench.options
    ground_of = cluster(bench.directory / "hot", len(ORDERS), life=_life, tables=_TABLES)
    async with ground_of as ground, served(TANDEM_1, ground) as server:
        seen: dict[int, list[Seen]] = {number: [] for number in ORDERS}
        for turn in range(options.rounds + 1):
            for user, number in zip(reversed(ground.ids), ORDERS, strict=True):
                plan = Plan(
                    workload="place_order",
                    url=server.url,
                    connections=1,
                    seconds=options.seconds,
                    warm_up=options.warm_up,
                    ids=[user],
                    service=[server.pid, *ground.role_pids],
                    stores=ground.store_pids,
                )
                found = await bench.generate(f"placeOrder on a user of {number:,}", plan)
                if turn:  # the first warms up
                    seen[number].append(found)
    rows = [cells(row(f"who had {number:,} orders", seen[number])) for number in ORDERS]
    bench.found.tables.append(Table(headings=HEADINGS, rows=rows))


def _life(number: int) -> Iterator[UserEvent]:
    yield UserCreated(name=f"User {number}", email=f"user-{number}@example.com")
    for _ in range(ORDERS[number]):
        yield OrderPlaced(order_id=OrderId(new_id()), total=1250)
