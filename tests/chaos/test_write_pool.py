"""PostgreSQL gives no connection, or takes no writes: every command is told so in time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg

from domain.command import CommandResult
from domain.write.database import WriteModelUnavailable
from tests.chaos.standby import ask, fence
from tests.chaos.stores import postgres
from tests.chaos.writers import write_models
from tests.domain.write_model import WriteModel, create
from tests.limited import limited


async def outcomes(model: WriteModel, start: int, count: int = 40) -> list[object]:
    """Of so many creations at once, each with a key of its own."""
    requests = [
        create(f"N{n}", f"n{n}@example.com", f"key {n}") for n in range(start, start + count)
    ]
    return await asyncio.gather(*map(model.store.execute, requests), return_exceptions=True)


def none_was_written(outcomes: list[object]) -> bool:
    return all(
        isinstance(outcome, WriteModelUnavailable) and "nothing was written" in str(outcome)
        for outcome in outcomes
    )


async def test_an_exhausted_pool_writes_nothing_says_so_in_time_and_recovers(
    database_url: str,
) -> None:
    async with write_models(database_url, 1, connections=3) as [model]:
        hasty = WriteModel(model.pool, timeout_seconds=0.3)
        async with AsyncExitStack() as held:
            for _ in range(3):
                await held.enter_async_context(model.pool.acquire())
            async with limited(3):
                assert none_was_written(await outcomes(hasty, 0))
        assert await model.count("events") == await model.count("commands") == 0
        assert all(isinstance(outcome, CommandResult) for outcome in await outcomes(hasty, 0))
        assert await model.count("events") == 40


async def test_commands_that_wait_for_a_connection_that_comes_in_time_are_carried_out(
    database_url: str,
) -> None:
    async with write_models(database_url, 1, connections=2) as [model]:
        async with model.pool.acquire(), model.pool.acquire():
            waiting = asyncio.create_task(outcomes(model, 0))
            ended, _ = await asyncio.wait({waiting}, timeout=0.05)
            assert not ended
        assert all(isinstance(outcome, CommandResult) for outcome in await waiting)


async def test_a_postgresql_that_is_full_writes_nothing_says_so_and_recovers(
    data_dir: Path, template: Path
) -> None:
    async with (
        postgres(data_dir, "max_connections=8", template=template) as full,
        write_models(full.url, 1) as [model],
    ):
        async with AsyncExitStack() as others:
            for _ in range(8):
                other = await asyncpg.connect(full.url)
                others.callback(other.terminate)
            assert none_was_written(await outcomes(model, 0))
        async with limited(30):
            while not all(
                isinstance(outcome, CommandResult) for outcome in await outcomes(model, 0)
            ):
                pass  # whoever left is still taking leave
        assert await model.count("events") == await model.count("commands") == 40


async def test_a_postgresql_that_turns_read_only_under_open_connections_is_unavailable(
    data_dir: Path, template: Path
) -> None:
    async with (
        postgres(data_dir, template=template) as server,
        write_models(server.url, 1) as [model],
    ):
        assert all(isinstance(outcome, CommandResult) for outcome in await outcomes(model, 0))
        await fence(server)
        assert none_was_written(await outcomes(model, 100))
        assert await ask(server, "select count(*) from events") == 40
        await fence(server, "off")
        assert all(isinstance(outcome, CommandResult) for outcome in await outcomes(model, 100))
        assert await model.count("events") == await model.count("commands") == 80
