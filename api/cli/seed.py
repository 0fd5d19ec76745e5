"""tandem seed: users and orders to look at, through the real commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.open_stores import write_model
from api.cli.progress import bar
from api.cli.rebuild import INTERRUPTED, AsJson
from api.cli.run import run_async
from api.cli.seed_data.seeder import Seeder
from api.errors import OperatorError
from api.runtime.signals import run_until, stop_signals
from domain.write.database import WriteModelUnavailable
from domain.write.store import Store

if TYPE_CHECKING:
    import asyncpg
    from rich.progress import Progress as Bar

    from api.settings import Settings

CONCURRENCY = 8
"""People who act at the same time."""


def seed(
    users: Annotated[int, typer.Argument(metavar="N", min=1, help="How many users.")],
    number: Annotated[int, typer.Option("--seed", help="Another seed, other people.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Create N users who order, complete, cancel and take other names, all at example.com.

    The same seed makes the same people, and again makes none twice: so it goes on where it was interrupted.

    Example: tandem seed 1000 --seed 7

    Exit status: 0 done; 1 it cannot be done; 130 interrupted.
    """

    async def run(settings: Settings) -> int:
        with stop_signals() as stop:
            done = await run_until(stop, _seeded(settings, users, number, as_json=as_json))
        return INTERRUPTED if done is None else 0

    run_async(run, quiet=True)


async def _seeded(settings: Settings, users: int, number: int, *, as_json: bool) -> bool:
    async with write_model(settings) as pool:
        plant = Seeder(_store(pool, settings), number)
        with bar(hidden=as_json) as shown:
            await _all(plant, users, shown)
    figures = {"users": plant.users, "orders": plant.orders, "refused": plant.refused}
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        typer.echo(", ".join(f"{count} {name}" for name, count in figures.items()))
    return True


def _store(pool: asyncpg.Pool, settings: Settings) -> Store:
    """The relay looks by itself twice a second, so nobody is woken."""
    return Store(
        pool,
        partitions=settings.partitions,
        now=lambda: datetime.now(UTC),
        wake=lambda _: None,
    )


async def _all(plant: Seeder, users: int, shown: Bar) -> None:
    task = shown.add_task("users", total=users)
    numbers = iter(range(users))

    async def act() -> None:
        for number in numbers:
            await plant.one(number)
            shown.advance(task)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(act())
    except* WriteModelUnavailable as away:
        raise OperatorError(f"{_first(away)} The same seed goes on where this ended.") from away


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    return next(str(error) for error in _leaves(group))


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
