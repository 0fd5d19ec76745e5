"""`python -m tests.benchmarks`: starts the service, drives it, prints what it saw."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.operator_error import OperatorError
from tests.benchmarks import machine, publish, report
from tests.benchmarks.answering import ProcessError
from tests.benchmarks.bench import Bench, Options
from tests.benchmarks.figures import Found
from tests.benchmarks.peers.asked import ASKED, Asked
from tests.benchmarks.peers.rounds import beside_peers
from tests.benchmarks.peers.servers import FLOOR
from tests.benchmarks.scenarios import QUICK, SCENARIOS, Alone, OnService, Scenario
from tests.benchmarks.services import Service, tandem_serve
from tests.benchmarks.wire import AnswerError
from tests.interop.graphql_clients.packages import NotFetched

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL_PEERS = "peers"
USERS = (10_000, 100_000)
NAMES = (*(scenario.name for scenario in (*SCENARIOS, *ASKED)), ALL_PEERS)
LISTED = ", ".join(NAMES)


def main(
    *,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each measurement lasts.")] = 10,
    connections: Annotated[int, typer.Option(min=1, help="Keep-alive connections.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each peer.")] = 3,
    rate: Annotated[float, typer.Option(min=0.1, help="Mutations a second in `visible`.")] = 100,
    only: Annotated[list[str] | None, typer.Option(help=f"One of: {LISTED}. Repeatable.")] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Only peers named so, such as mercurius. Repeatable.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Drive this running service instead.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything to this file too.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The main rows within two minutes, roughly.")
    ] = False,
    users: Annotated[
        list[int] | None, typer.Option(min=100, help="Users of the cost curve. Repeatable.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--publish", help="Put whole sections into docs/, with their plots.")
    ] = False,
    measured: Annotated[
        Path | None, typer.Option("--from", help="Publish what a run wrote with --json.")
    ] = None,
) -> None:
    """Measures Tandem as its clients see it. Keep the machine quiet while it runs."""
    if unknown := set(only or ()) - set(NAMES):
        named = ", ".join(sorted(unknown))
        raise typer.BadParameter(f"{named}: there is only {LISTED}.", param_hint="--only")
    if measured is not None:
        publish.publish(publish.read(measured))
        return
    if quick:
        seconds, rounds, only, against = 0.6, 1, list(QUICK), ["mercurius", FLOOR]
    options = Options(
        quick=quick,
        seconds=seconds,
        connections=connections,
        rounds=rounds,
        rate=rate,
        warm_up=max(0.2, min(2.0, seconds / 4)),
        users=tuple(users or USERS),
        against=tuple(against or ()),
    )
    chosen = [
        scenario
        for scenario in SCENARIOS
        if (
            scenario.name in only
            if only
            else not (isinstance(scenario, Alone) and scenario.on_request)
        )
    ]
    beside = [asked for asked in ASKED if not only or {asked.name, ALL_PEERS} & set(only)]
    if published and beside and (len(beside) < len(ASKED) or against):
        raise typer.BadParameter("only a run with all peers is published.", param_hint="--publish")
    configuration = {
        **machine.configuration(),
        "options": asdict(options),
        "command": f'make bench ARGS="{" ".join(sys.argv[1:])}"',
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    found = Found(configuration=configuration)
    stopped = _measured(chosen, beside, Bench(options=options, found=found), url)
    report.show(found, report.console(), short=quick)
    if json is not None:
        report.write_json(found, json)
    if published and not (stopped or found.failed):
        publish.publish(found)
    if stopped or found.failed:  # the figures of a service that answers wrongly are worth nothing
        sys.exit(stopped or 1)


def _measured(
    chosen: Sequence[Scenario], beside: Sequence[Asked], bench: Bench, url: str | None
) -> str | None:
    """Runs the scenarios; when they cannot go on, says why: what was found until then remains."""
    try:
        asyncio.run(_run(chosen, beside, bench, url))
    except (ProcessError, AnswerError, OperatorError, NotFetched, OSError) as failed:
        return f"The benchmark stopped. {failed}"
    except asyncio.CancelledError:
        return "The benchmark was told to stop."
    return None


async def _run(
    chosen: Sequence[Scenario], beside: Sequence[Asked], bench: Bench, url: str | None
) -> None:
    _stop_cleanly_on_sigterm()
    with bench.working():
        if url is not None:
            await _on_running_service(bench, chosen, Service(url=url))
            bench.found.notes += ["Left out, it needs its own cluster: the peers."] * bool(beside)
        else:
            await _on_own_service(bench, chosen)
            if beside:
                await beside_peers(bench, beside)


def _stop_cleanly_on_sigterm() -> None:
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def _on_running_service(bench: Bench, chosen: Sequence[Scenario], service: Service) -> None:
    able = [s for s in chosen if isinstance(s, OnService) and not s.own_only]
    if left_out := ", ".join(scenario.name for scenario in chosen if scenario not in able):
        bench.found.notes.append(f"Left out, it needs processes of its own: {left_out}.")
    bench.found.configuration["service"] = service.url
    await bench.seed(service)
    for scenario in able:
        await scenario.run(bench, service)


async def _on_own_service(bench: Bench, chosen: Sequence[Scenario]) -> None:
    for scenario in chosen:
        if isinstance(scenario, Alone):
            await scenario.run(bench)
    able = [scenario for scenario in chosen if isinstance(scenario, OnService)]
    if not able:
        return
    async with tandem_serve(bench.directory) as service:
        if service.stores is not None:
            bench.found.configuration |= await machine.store_settings(service.stores)
        await bench.seed(service)
        for scenario in able:
            await scenario.run(bench, service)


if __name__ == "__main__":
    typer.run(main)
