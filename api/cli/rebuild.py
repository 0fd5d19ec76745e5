"""tandem rebuild: builds the read models again from the event log, while the old ones continue to serve."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.run import AsJson, fail, print_result, run_on_stores

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from api.cli.open_stores import OpenStores
    from readside.generations.rebuild import Progress

Row = dict[str, Any]
"""What was done to one partition."""


def rebuild(
    partition: Annotated[
        list[int] | None, typer.Option(help="Only this partition; may be repeated.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the events that it would read.")
    ] = False,
    rollback: Annotated[
        bool,
        typer.Option(
            "--rollback", "--return", help="Activate the read models from before the last rebuild."
        ),
    ] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Remove what an interrupted rebuild left.")
    ] = False,
    accept_parked: Annotated[
        bool,
        typer.Option(
            "--accept-parked",
            help="Activate the read models of this code, however many aggregates they park.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build the read models again from the event log.

    The old ones continue to serve meanwhile.

    The next rebuild resumes one that was interrupted within the last ten minutes.

    Then they are kept for ten minutes: --rollback activates them again.

    Read models that park many more aggregates than the old ones are activated only with --accept-parked.

    Example: tandem rebuild --partition 3 --partition 4

    Exit status: 0 done; 1 a partition cannot be rebuilt, and those before it are; 130 interrupted.
    """
    if sum([dry_run, rollback, abandon, accept_parked]) > 1:
        fail("Choose one of --dry-run, --rollback, --abandon and --accept-parked.")

    async def run(stores: OpenStores) -> None:
        partitions = stores.partitions(partition)
        if dry_run:
            rows = [await _count(stores, number) for number in partitions]
            summary = f"A rebuild reads {_sum(rows, 'events')} events."
        elif rollback:
            rows = [await _roll_back(stores, number) for number in partitions]
            summary = f"{len(rows)} partitions serve their previous read models again."
        elif abandon:
            rows = [await _abandon(stores, number) for number in partitions]
            summary = f"Removed {_sum(rows, 'removed')} unfinished read models."
        else:
            if accept_parked:
                for number in partitions:
                    await stores.maintenance(number).accept_parked()
            rows = await _rebuild_all(stores, partitions, hidden=as_json)
            summary = (
                f"Rebuilt {len(rows)} partitions from {_sum(rows, 'events')} events; the old read models are"
                " kept for ten minutes (`tandem rebuild --rollback`)."
            )
        print_result({"partitions": rows}, [*map(_line, rows), summary], as_json=as_json)

    rebuilds = not (dry_run or rollback or abandon)
    resume = "`tandem rebuild` resumes, `tandem rebuild --abandon` removes what was built."
    run_on_stores(run, interrupted=f"Interrupted; {resume}" if rebuilds else "Interrupted.")


async def _count(stores: OpenStores, partition: int) -> Row:
    return {"partition": partition, "events": await stores.maintenance(partition).events()}


async def _roll_back(stores: OpenStores, partition: int) -> Row:
    switch = await stores.maintenance(partition).rollback()
    return {"partition": partition, "before": switch.before, "after": switch.after}


async def _abandon(stores: OpenStores, partition: int) -> Row:
    return {"partition": partition, "removed": await stores.maintenance(partition).abandon()}


async def _rebuild_all(stores: OpenStores, partitions: Sequence[int], *, hidden: bool) -> list[Row]:
    """Rebuilds one partition after the other; each is activated as soon as it is complete."""
    from api.cli.progress import progress_bar

    rows, start = [], 0
    with progress_bar(hidden=hidden) as bar:
        expected = {number: await stores.maintenance(number).events() for number in partitions}
        task = bar.add_task("", total=sum(expected.values()))
        for partition in partitions:
            end = start + expected[partition]
            rows.append(await _rebuild_one(stores, partition, bar, task, start, end))
            start = end
    return rows


async def _rebuild_one(
    stores: OpenStores, partition: int, bar: Bar, task: Any, start: int, end: int
) -> Row:
    """Moves the bar from `start` to `end` at most: events that arrive meanwhile are not in its total."""
    seen: list[int] = []

    def show(progress: Progress) -> None:
        seen.append(progress.seen)
        done = min(start + progress.seen, end)
        bar.update(task, completed=done, description=f"partition {partition}")

    started = time.monotonic()
    switch = await stores.maintenance(partition).rebuild(show)
    return {
        "partition": partition,
        "events": seen[-1],
        "resumed_at": seen[0],
        "seconds": round(time.monotonic() - started, 3),
        "before": switch.before,
        "after": switch.after,
    }


def _line(row: Row) -> str:
    number, *rest = row.items()
    return f"partition {number[1]}: " + ", ".join(f"{name} {value}" for name, value in rest)


def _sum(rows: list[Row], name: str) -> str:
    return f"{sum(row[name] for row in rows):,}"
