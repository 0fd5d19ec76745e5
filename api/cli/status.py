"""tandem status: how far each part of the way from log to read model is, and what is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.live import Live

from api.cli.open_stores import with_embedded_stores
from api.cli.run import run_async
from api.cli.status_table import StatusTable
from api.observability.pipeline import Pipeline, PipelineStatus
from api.observability.problems import problems
from api.roles import fingerprint, namespace
from api.runtime import drivers, pgbouncer
from api.runtime.background import TRANSIENT_ERRORS
from api.runtime.log_check import refuse_foreign_log
from api.runtime.signals import run_until, stop_signals
from api.settings import require_settings
from domain.migrate import check

if TYPE_CHECKING:
    import asyncpg
    from redis.asyncio import Redis

    from api.settings import Settings

WELL, WRONG, BLIND = 0, 1, 2
"""Exit statuses."""

REFRESH_SECONDS = 1.0
"""Seconds between two looks."""


def status(
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again each second, until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a line for a look.")] = False,
) -> None:
    """Say how far each part of the way from the log to the read models is, and what is wrong with it.

    Example: tandem status --watch

    Exit status, of the last look: 0 all is well; 1 something is wrong; 2 it cannot look.
    """

    async def run(settings: Settings) -> int:
        async with _pipeline(with_embedded_stores(settings)) as pipeline:
            if as_json:
                return await _looks(pipeline, _print_json, watch=watch)
            if not watch:
                console = Console(highlight=False)
                return await _looks(pipeline, lambda look: console.print(StatusTable(look)))
            with Live(auto_refresh=False, screen=False) as live:
                show = lambda look: live.update(StatusTable(look), refresh=True)  # noqa: E731
                return await _looks(pipeline, show, watch=True)

    run_async(run, refused=BLIND)


@asynccontextmanager
async def _pipeline(settings: Settings) -> AsyncIterator[Pipeline]:
    """Either store may be away.

    Raises OperatorError, MigrationError if PostgreSQL has other partitions, and ForeignLog.
    """
    require_settings(settings, "database_url", "redis_url")
    async with (
        drivers.database(settings) as pool,
        drivers.redis_for_watching(settings) as redis,
    ):
        await _checked(pool, redis, settings)
        yield Pipeline(
            pool,
            redis,
            partitions=settings.partitions,
            fingerprint=fingerprint(settings),
            namespace=namespace(settings),
            fresh=0.0,
        )


async def _checked(pool: asyncpg.Pool, redis: Redis, settings: Settings) -> None:
    with suppress(*TRANSIENT_ERRORS, *pgbouncer.POOLER_ERRORS):  # the look will say so
        async with asyncio.timeout(REFRESH_SECONDS):
            async with pool.acquire() as connection:
                await check(connection, settings.partitions)  # type: ignore[arg-type]
            await refuse_foreign_log(pool, redis, settings)


async def _looks(
    pipeline: Pipeline, show: Callable[[PipelineStatus], None], *, watch: bool = False
) -> int:
    """Shows one look, or one each second until somebody stops it; answers the exit status of the last."""
    with stop_signals() as stop:
        while True:
            look = await run_until(stop, pipeline.look())
            if look is None:
                return WELL  # stopped before there was anything to tell
            show(look)
            found = _status(look)
            if not watch:
                return found
            await run_until(stop, asyncio.sleep(REFRESH_SECONDS))
            if stop.is_set():
                return found


def _status(look: PipelineStatus) -> int:
    if look.writes is not None and look.reads is not None:
        return BLIND
    return WRONG if problems(look) else WELL


def _print_json(look: PipelineStatus) -> None:
    told = {"status": _status(look), "problems": problems(look), "look": look}
    typer.echo(msgspec.json.encode(told).decode())
