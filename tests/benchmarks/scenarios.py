"""The list of what is measured. A new scenario is one function and one line in SCENARIOS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.figures import Figure, row
from tests.benchmarks.figures import rate as rate_of
from tests.benchmarks.hot_aggregate import hot_aggregate
from tests.benchmarks.reads import reads
from tests.benchmarks.rebuild import rebuild
from tests.benchmarks.refusals import refusals
from tests.benchmarks.relay_poll import relay_poll
from tests.benchmarks.rolling_restart import rolling_restart
from tests.benchmarks.scale.measured import scale
from tests.benchmarks.second_aggregate import second_aggregate
from tests.benchmarks.size import size
from tests.benchmarks.start_up import start_up
from tests.benchmarks.storage import storage
from tests.benchmarks.text_memory import text_memory
from tests.benchmarks.watchers import watchers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.services import Service


SHARE = 0.7
"""Of what the service can take, in `busy`."""


@dataclass(frozen=True, kw_only=True)
class OnService:
    """Measures a running service, our own or the one at --url."""

    name: str
    run: Callable[[Bench, Service], Awaitable[None]]
    own_only: bool = False  # needs the stores of a service that the benchmark started


@dataclass(frozen=True, kw_only=True)
class Alone:
    """Starts what it measures itself and runs before any other service is up."""

    name: str
    run: Callable[[Bench], Awaitable[None]]
    on_request: bool = False  # not without --only


async def user_by_id(bench: Bench, service: Service) -> None:
    seen = await bench.measure("user by id", "user_by_id", service)
    bench.found.rows.append(row("user by id", [seen]))


async def users_page(bench: Bench, service: Service) -> None:
    seen = await bench.measure("a page of 20 users", "users_page", service)
    bench.found.rows.append(row("a page of 20 users", [seen]))


async def create_user(bench: Bench, service: Service) -> None:
    seen = await bench.measure("createUser", "create_user", service)
    bench.found.rows.append(row("createUser", [seen]))


async def visible(bench: Bench, service: Service) -> None:
    """From a mutation's answer to the first `user` answer that shows it, at a fixed rate."""
    rate = bench.options.rate
    title = f"createUser, {rate:g}/s arriving"
    seen = await bench.measure(title, "visible", service, rate=rate)
    bench.found.rows += [
        row(f"{title}: answered", [seen], cpu=False),
        row("  from answered to visible", [seen], "visible", cpu=False),
        row("  generator's lateness", [seen], "generator late", cpu=False),
    ]
    followed = len(seen.latencies.get("visible", ())) or 1
    bench.found.figures.append(
        Figure(name="queries until visible", value=seen.polls / followed, unit="a mutation")
    )


async def busy(bench: Bench, service: Service) -> None:
    """The same at a share of what the service can take, one user in ten waited for with minVersion."""
    most = await bench.measure("createUser, as many as it can", "create_user", service)
    await bench.seed(service)  # whose users are visible only when all before them are
    rate = SHARE * rate_of(most)
    title = f"createUser, {rate:.0f}/s arriving: {SHARE:.0%} of what it can"
    seen = await bench.measure(title, "waited_for", service, rate=rate)
    bench.found.rows += [
        row(f"{title}: answered", [seen]),
        row("  from answered to visible, waited for", [seen], "visible", cpu=False),
        row("  generator's lateness", [seen], "generator late", cpu=False),
    ]


Scenario = OnService | Alone

QUICK = (
    *("visible", "watchers", "peers-user", "peers-user-jwt", "peers-page", "peers-texts"),
    *("peers-literals", "peers-orders", "peers-create"),
)
"""The main rows, which are measured in two minutes."""

SCENARIOS: tuple[Scenario, ...] = (
    Alone(name="refusals", run=refusals),
    Alone(name="start-up", run=start_up),
    Alone(name="relay-poll", run=relay_poll),
    Alone(name="reads", run=reads),
    Alone(name="rebuild", run=rebuild),
    Alone(name="size", run=size),
    Alone(name="storage", run=storage),
    Alone(name="scale", run=scale, on_request=True),
    Alone(name="rolling-restart", run=rolling_restart),
    Alone(name="hot-aggregate", run=hot_aggregate),
    Alone(name="second-aggregate", run=second_aggregate),
    Alone(name="watchers", run=watchers),
    Alone(name="text-memory", run=text_memory),
    OnService(name="user-by-id", run=user_by_id),
    OnService(name="users-page", run=users_page),
    OnService(name="visible", run=visible),
    OnService(name="create-user", run=create_user),  # it leaves many thousand users behind
    OnService(name="busy", run=busy),
)
