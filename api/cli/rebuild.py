"""tandem rebuild: the read models anew from the event log, while the old ones go on serving."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from api.cli.open_stores import OpenStores, open_stores
from api.cli.progress import bar
from api.cli.run import run_async
from api.errors import OperatorError
from api.runtime.signals import run_until, stop_signals

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from api.settings import Settings
    from readside.generations.rebuild import Progress

INTERRUPTED = 130

Partitions = Annotated[
    list[int] | None, typer.Option("--partition", help="Only this one; give it more than once.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def rebuild(
    partition: Partitions = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would read.")
    ] = False,
    give_back: Annotated[
        bool, typer.Option("--return", help="Go back to the read models before the last rebuild.")
    ] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Remove what an interrupted rebuild left.")
    ] = False,
    accept_parked: Annotated[
        bool,
        typer.Option(
            "--accept-parked",
            help="Let the read models of this code serve, however many users they park.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build the read models anew from the event log, while the old ones go on serving.

    One that is interrupted is resumed by the next, for ten minutes.

    The old read models are kept for as long: --return goes back at once.

    Read models that park many more users than the old ones do not serve, unless --accept-parked says so.

    Example: tandem rebuild --partition 3 --partition 4

    Exit status: 0 done; 1 a partition cannot be rebuilt, and those before it are; 130 interrupted.
    """

    async def run(settings: Settings) -> int:
        if sum([dry_run, give_back, abandon, accept_parked]) > 1:
            raise OperatorError("Choose one of --dry-run, --return, --abandon and --accept-parked.")
        with stop_signals() as stop:
            work = _asked(settings, partition, asked, accept_parked=accept_parked, as_json=as_json)
            done = await run_until(stop, work)
        if done is not None:
            return done
        if asked == "rebuild":
            typer.echo(
                "tandem: Interrupted; `tandem rebuild` goes on from there, `--abandon` removes it.",
                err=True,
            )
        return INTERRUPTED

    asked = "dry-run" if dry_run else "return" if give_back else "abandon" if abandon else "rebuild"
    run_async(run, quiet=True)


async def _asked(
    settings: Settings,
    chosen: Sequence[int] | None,
    asked: str,
    *,
    accept_parked: bool,
    as_json: bool,
) -> int:
    async with open_stores(settings) as stores:
        partitions = stores.partitions(chosen)
        match asked:
            case "dry-run":
                rows = [await _would(stores, partition) for partition in partitions]
            case "return":
                rows = [await _return(stores, partition) for partition in partitions]
            case "abandon":
                rows = [await _abandon(stores, partition) for partition in partitions]
            case _:
                for partition in partitions if accept_parked else ():
                    await stores.steering(partition).accept_parked()
                with bar(hidden=as_json) as shown:
                    rows = await _rebuild(stores, partitions, shown)
    _show(rows, as_json=as_json)
    return 0


async def _would(stores: OpenStores, partition: int) -> dict[str, Any]:
    return {"partition": partition, "events": await stores.steering(partition).events()}


async def _return(stores: OpenStores, partition: int) -> dict[str, Any]:
    flip = await stores.steering(partition).give_back()
    return {"partition": partition, "before": flip.before, "after": flip.after}


async def _abandon(stores: OpenStores, partition: int) -> dict[str, Any]:
    return {"partition": partition, "removed": await stores.steering(partition).abandon()}


async def _rebuild(
    stores: OpenStores, partitions: Sequence[int], shown: Bar
) -> list[dict[str, Any]]:
    """One partition after the other: each is flipped as soon as it is done."""
    expected = {number: await stores.steering(number).events() for number in partitions}
    task = shown.add_task("", total=sum(expected.values()))
    rows, before = [], 0
    for partition in partitions:
        upto = before + expected[partition]
        rows.append(await _one(stores, partition, shown, task, before, upto))
        before = upto
    return rows


async def _one(
    stores: OpenStores, partition: int, shown: Bar, task: Any, before: int, upto: int
) -> dict[str, Any]:
    """The bar goes on from `before` to `upto`, and not beyond: what has come since is not in its total."""
    seen: list[int] = []

    def told(progress: Progress) -> None:
        seen.append(progress.seen)
        done = min(before + progress.seen, upto)
        shown.update(task, completed=done, description=f"partition {partition}")

    begun = time.monotonic()
    flip = await stores.steering(partition).rebuild(told)
    return {
        "partition": partition,
        "events": seen[-1],
        "resumed_at": seen[0],
        "seconds": round(time.monotonic() - begun, 3),
        "before": flip.before,
        "after": flip.after,
    }


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"partitions": rows}))
        return
    console = Console(highlight=False, soft_wrap=True)
    for row in rows:
        number, *rest = row.items()
        console.print(f"partition {number[1]}: " + ", ".join(f"{k} {v}" for k, v in rest))
