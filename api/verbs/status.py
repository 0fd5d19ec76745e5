"""tandem status: how the pipeline is doing, partition by partition, and what to do where it is not well."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from api import drivers
from api.roles import fingerprint
from api.verbs.asked import carry_out, external
from api.verbs.rebuild import AsJson
from api.verbs.stores import located
from api.watch.pipeline import Look, PartitionLook, Pipeline
from api.watch.problems import Problem, problems

if TYPE_CHECKING:
    from rich.console import RenderableType

    from api.settings import Settings

_EVERY = 1.0
"""Seconds between two looks with --watch."""

CANNOT_LOOK = 2


def status(
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again each second.")] = False,
) -> None:
    """Show what waits where: events in the log, entries in the streams, users who are set aside.

    Example: tandem status --watch

    Exit status: 0 all is well; 1 something is not, and a sentence says what to do; 2 neither store answers.
    """

    async def run(settings: Settings) -> int:
        settings = located(settings)
        external(settings, "database_url", "redis_url")
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(drivers.database(settings))
            redis = await stack.enter_async_context(drivers.redis_for_watching(settings))
            named = fingerprint(settings)
            pipeline = Pipeline(pool, redis, partitions=settings.partitions, fingerprint=named)
            if watch:
                await _watched(pipeline)
            look = await pipeline.look()
        if as_json:
            typer.echo(_encoded(look))
        elif not watch:
            Console(highlight=False).print(_picture(look))
        return _exit_status(look)

    carry_out(run, refused=CANNOT_LOOK, quiet=True)


async def _watched(pipeline: Pipeline) -> None:
    """Until Ctrl-C."""
    console = Console(highlight=False)
    with suppress(asyncio.CancelledError), Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(_picture(await pipeline.look()), refresh=True)
            await asyncio.sleep(_EVERY)


def _exit_status(look: Look) -> int:
    if look.writes is not None and look.reads is not None:
        return CANNOT_LOOK
    return 1 if problems(look) else 0


def _encoded(look: Look) -> str:
    told = {"look": msgspec.to_builtins(look), "problems": msgspec.to_builtins(problems(look))}
    return msgspec.json.encode(told).decode()


def _picture(look: Look) -> RenderableType:
    table = Table(box=None, header_style="dim")
    for title in ("partition", "not in stream", "oldest", "entries", "to apply", "lag", "applied"):
        table.add_column(title, justify="right")
    table.add_column("parked", justify="right")
    table.add_column("serves")
    for one in look.partitions:
        table.add_row(str(one.number), *_log(one), *_model(one))
    found = problems(look)
    lines = [_line(problem) for problem in found] or [Text("Everything flows.", "green")]
    return Group(table, Text(), *lines)


def _log(one: PartitionLook) -> list[str]:
    if one.backlog is None or one.backlog.unpublished is None:
        return ["?", "?"]
    return [str(one.backlog.unpublished), _seconds(one.backlog.oldest)]


def _model(one: PartitionLook) -> list[str]:
    model = one.standing
    if model is None:
        return ["?"] * 6
    behind = "?" if model.behind is None else str(model.behind)
    serves = "yes" if model.generation else "is built" if model.building else "[red]no[/]"
    parked = f"[red]{model.parked}[/]" if model.parked else "0"
    return [str(model.entries), behind, _seconds(model.lag), str(model.applied), parked, serves]


def _line(problem: Problem) -> Text:
    return Text(problem.sentence, "red" if problem.grave else "yellow")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
