"""tandem status: shows what is wrong with the pipeline, and the progress of each partition."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.run import run_async

if TYPE_CHECKING:
    from api.observability.pipeline import Pipeline, PipelineStatus
    from api.settings import Settings

OK, PROBLEM, UNREACHABLE = 0, 1, 2
"""Exit statuses."""

REFRESH_SECONDS = 1.0


def status(
    watch: Annotated[
        bool, typer.Option("--watch", help="Refresh each second, until Ctrl-C.")
    ] = False,
    show_all: Annotated[
        bool, typer.Option("--all", help="List also the partitions without a value other than 0.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, one line for each refresh.")
    ] = False,
) -> None:
    """Show what is wrong, and the progress of each partition.

    Example: tandem status --watch

    Exit status, of the last refresh: 0 all is well; 1 something is wrong; 2 the stores cannot be reached.
    """

    async def run(settings: Settings) -> int:
        from rich.console import Console
        from rich.live import Live

        from api.cli.open_stores import open_pipeline
        from api.cli.status_table import StatusTable

        async with open_pipeline(settings) as pipeline:
            if as_json:
                return await _show(pipeline, _print_json, watch=watch)
            if not watch:
                console = Console(highlight=False)
                return await _show(
                    pipeline, lambda view: console.print(StatusTable(view, show_all))
                )
            with Live(auto_refresh=False) as live:
                refresh = lambda view: live.update(StatusTable(view, show_all), refresh=True)  # noqa: E731
                return await _show(pipeline, refresh, watch=True)

    run_async(run, refused=UNREACHABLE)


async def _show(
    pipeline: Pipeline, show: Callable[[PipelineStatus], None], *, watch: bool = False
) -> int:
    """Shows the pipeline once, or each second until a signal; returns the exit status of the last time."""
    import asyncio

    from api.runtime.signals import run_until, stop_signals

    with stop_signals() as stop:
        while True:
            view = await run_until(stop, pipeline.status())
            if view is None:
                return OK  # stopped before there was anything to show
            show(view)
            if not watch:
                return _status(view)
            await run_until(stop, asyncio.sleep(REFRESH_SECONDS))
            if stop.is_set():
                return _status(view)


def _status(view: PipelineStatus) -> int:
    from api.observability.problems import problems

    if view.postgresql_error is not None and view.redis_error is not None:
        return UNREACHABLE
    return PROBLEM if problems(view) else OK


def _print_json(view: PipelineStatus) -> None:
    import msgspec

    from api.observability.problems import problems

    data = {"status": _status(view), "problems": problems(view), "look": view}
    typer.echo(msgspec.json.encode(data))
