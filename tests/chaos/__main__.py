"""`python -m tests.chaos`: a cluster under load and under faults, for as long as you like, then judged."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.benchmarks import machine
from tests.chaos.chaos import EVERY, ROUND, Report, chaos
from tests.chaos.cluster import PARTITIONS
from tests.chaos.cluster import cluster as whole
from tests.chaos.stores import made_template
from tests.stores import fast_temp

OUT = Console(highlight=False)


def main(
    *,
    seed: Annotated[int, typer.Option(help="The same seed plans the same faults.")] = 1,
    minutes: Annotated[float, typer.Option(min=0.05, help="How long under load.")] = 10,
    clients: Annotated[int, typer.Option(min=1, help="Clients at work at a time.")] = 8,
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between two faults.")] = EVERY,
    cluster: Annotated[bool, typer.Option(help="Redis is a cluster of six nodes.")] = False,
    mutant: Annotated[str, typer.Option(help="Take a mechanism out: see mutants.py.")] = "",
) -> None:
    """Kills, cuts, silences and empties, and judges every answer. Exit status 1 if a promise was broken."""
    place = Path(tempfile.mkdtemp(prefix="tandem-chaos-", dir=fast_temp()))
    try:
        report = asyncio.run(_run(place, seed, minutes * 60, clients, every, mutant, nodes=cluster))
    except KeyboardInterrupt:
        shutil.rmtree(place, ignore_errors=True)
        sys.exit("Stopped before the verdict.")
    except AssertionError as error:
        OUT.print(f"[bold red]It did not come to rest:[/] {error}\nData and logs: {place}")
        sys.exit(1)
    _show(report)
    if report.violations:
        OUT.print(f"[bold red]A promise was broken.[/] Data and logs: {place}")
        sys.exit(1)
    shutil.rmtree(place)


async def _run(
    place: Path,
    seed: int,
    seconds: float,
    clients: int,
    every: float,
    mutant: str,
    *,
    nodes: bool,
) -> Report:
    OUT.print(f"seed {seed}, {seconds:.0f} s in rounds of {ROUND:.0f} s, a fault every {every} s")
    template = await made_template(place / "template", PARTITIONS)
    (place / "cluster").mkdir()
    shown = Live(_table(Report(seed=seed)), console=OUT, refresh_per_second=2, transient=True)
    with shown as live:
        async with whole(place / "cluster", template, nodes=nodes, MUTANT=mutant) as hurt:
            return await chaos(
                hurt,
                seed=seed,
                seconds=seconds,
                every=every,
                clients=clients,
                tell=lambda report: live.update(_table(report)),
            )


def _table(report: Report) -> Table:
    """How far it is, in one look."""
    table = Table(show_header=False, box=None)
    table.add_row("under load", f"{report.seconds:.0f} s")
    table.add_row("faults", f"{report.happened.total()}, of them {report.kills} kills")
    table.add_row("commands", _counted(report.commands))
    table.add_row("queries", _counted(report.reads))
    table.add_row("changes told", f"{report.changes}")
    table.add_row("rounds judged", f"{len(report.recoveries)}")
    if report.recoveries:
        table.add_row("recovered after", f"{max(report.recoveries):.2f} s at most")
    table.add_row("violations", str(len(report.violations)))
    return table


def _show(report: Report) -> None:
    """The report, as docs/guarantees.md publishes it."""
    told = machine.configuration()
    OUT.print(f"commit {told['commit']}, {told['python']}, {told['cores']} cores, {told['cpu']}")
    OUT.print(_table(report))
    OUT.print(f"events in the log: {report.events}")
    OUT.print("what happened: " + _counted(report.happened))
    for violation in report.violations:
        OUT.print(f"[red]{violation.rule}[/]: {violation.what}", markup=True)


def _counted(counter: dict[str, int]) -> str:
    found = sorted(counter.items(), key=lambda item: -item[1])
    return ", ".join(f"{times} {name or 'without an answer'}" for name, times in found) or "none"


if __name__ == "__main__":
    typer.run(main)
