"""tandem verify: compares the read model with the event log, and the tables of the write model too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from api.cli.run import AsJson, run_on_stores

if TYPE_CHECKING:
    from api.cli.open_stores import OpenStores

NOT_VERIFIED = 2


def verify(
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Correct the read model from the log, and compare again."),
    ] = False,
    aggregate_id: Annotated[
        UUID | None, typer.Option("--id", "--user", help="Only the aggregate with this id.")
    ] = None,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Print values, which may be personal.")
    ] = False,
    patience: Annotated[
        float, typer.Option(help="Seconds that events in flight have to arrive.", min=0)
    ] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Compare the read models with the event log, aggregate by aggregate.

    May run while both are in use: events in flight are not reported as a difference. Those parked are listed.

    Example: tandem verify --repair

    Exit status: 0 no difference; 1 differences, or some are parked; 2 a store or read model cannot be used;
    130 interrupted.
    """

    async def run(stores: OpenStores) -> int:
        from api.cli.progress import progress_bar
        from api.cli.verify_run import VerifyRun, show

        with progress_bar(hidden=as_json) as bar:
            verify_run = VerifyRun(stores, bar, aggregate_id, patience)
            report = await verify_run.compare()
            if repair:
                report = await verify_run.repair(report)
        show(report, values=show_values, as_json=as_json)
        return 0 if report.agrees else 1

    run_on_stores(run, refused=NOT_VERIFIED)
