"""tandem seed: creates demo users and orders through the real commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.run import AsJson, print_result, run_async

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from api.cli.seed_data import Seeder
    from api.settings import Settings

CONCURRENCY = 8
"""Users whose commands run at the same time."""


def seed(
    users: Annotated[int, typer.Argument(metavar="N", min=1, help="How many users.")],
    number: Annotated[int, typer.Option("--seed", help="Another seed makes other users.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Create N demo users with orders.

    Their addresses are at example.com. The same seed makes the same users, and none of them twice, so the
    same command resumes one that was interrupted.

    Example: tandem seed 1000 --seed 7

    Exit status: 0 done; 1 a store cannot be used; 130 interrupted.
    """

    async def run(settings: Settings) -> None:
        from datetime import UTC, datetime

        from api.cli.open_database import write_model
        from api.cli.progress import progress_bar
        from api.cli.seed_data import Seeder
        from domain.write.store import Store

        async with write_model(settings) as pool:
            store = Store(
                pool,
                partitions=settings.partitions,
                now=lambda: datetime.now(UTC),
                wake=lambda _: None,  # the relay polls the log twice a second
            )
            seeder = Seeder(store, number)
            with progress_bar(hidden=as_json) as bar:
                await _seed_all(seeder, users, bar)
        data = {"users": seeder.users, "orders": seeder.orders, "refused": seeder.refused}
        line = (
            f"{seeder.users} users of seed {number} are in the database, with {seeder.orders} orders;"
            f" {seeder.refused} commands were refused."
        )
        print_result(data, [line], as_json=as_json)

    run_async(run, quiet=True, interrupted="Interrupted; the same command resumes.")


async def _seed_all(seeder: Seeder, users: int, bar: Bar) -> None:
    import asyncio

    from api.operator_error import OperatorError
    from domain.write.database import WriteModelUnavailable

    task = bar.add_task("users", total=users)
    numbers = iter(range(users))

    async def work() -> None:
        for number in numbers:
            await seeder.seed_user(number)
            bar.advance(task)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(work())
    except* WriteModelUnavailable as errors:
        raise OperatorError(f"{errors.exceptions[0]} The same command resumes.") from errors
