"""`tandem migrate` as processes: two at once, and one that is killed in the middle of a migration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING

import asyncpg
import pytest

from domain.migrate import check, load_migrations
from tests.forked import start
from tests.limited import limited
from tests.processes import TANDEM, ended, running
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from asyncio.subprocess import Process

# `orders` is the second table of the first migration: whoever creates it waits for us behind `users`.
IN_THE_MIDDLE = "create table orders ()"
TABLES = (
    "select array_agg(relname order by relname) from pg_class where relkind = 'r' and oid > 16000"
)
WAITING = """
    select pid from pg_stat_activity
    where datname = current_database() and query like '%create table users%'
      and cardinality(pg_blocking_pids(pid)) > 0
"""
TAKING_TURNS = "select count(*) = $1 from pg_locks where locktype = 'advisory' and not granted"
ALONE = "select count(*) = 1 from pg_stat_activity where datname = current_database()"


@pytest.fixture
async def witness(empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    connection.terminate()


@asynccontextmanager
async def held(url: str) -> AsyncIterator[None]:
    """Inside, a migration that comes to its second table waits; at the end it goes on."""
    holder = await asyncpg.connect(url)
    try:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute(IN_THE_MIDDLE)
        yield
        await transaction.rollback()
    finally:
        holder.terminate()


@asynccontextmanager
async def migrating(url: str, place: Path, name: str) -> AsyncIterator[Process]:
    env = {"DATABASE_URL": url, "PARTITIONS": str(PARTITIONS)}
    async with running(TANDEM, "migrate", env=env, log=place / name) as process:
        yield process


async def until(witness: asyncpg.Connection, query: str, *arguments: object) -> object:
    async with limited(30):
        while not (found := await witness.fetchval(query, *arguments)):
            await asyncio.sleep(0.01)
    return found


async def test_a_migration_killed_in_the_middle_leaves_nothing_and_the_next_goes_through(
    empty_database_url: str, witness: asyncpg.Connection, tmp_path: Path
) -> None:
    async with held(empty_database_url):
        async with migrating(empty_database_url, tmp_path, "killed") as killed:
            backend = await until(witness, WAITING)
            killed.kill()
            await killed.wait()
        assert await witness.fetchval(TABLES) == ["migrations"]
    await until(witness, "select not exists (select from pg_stat_activity where pid = $1)", backend)
    assert await witness.fetchval(TABLES) == ["migrations"]
    assert await witness.fetchval("select count(*) from migrations") == 0
    async with migrating(empty_database_url, tmp_path, "next") as following:
        assert await ended(following, 30) == 0
    assert await witness.fetchval("select count(*) from migrations") == len(load_migrations())
    await check(witness, PARTITIONS)


@pytest.mark.parametrize("killed", [False, True], ids=["both live", "the first is killed"])
async def test_of_two_processes_one_migrates_and_the_other_goes_on_from_there(
    empty_database_url: str, witness: asyncpg.Connection, tmp_path: Path, killed: bool
) -> None:
    url = empty_database_url
    async with AsyncExitStack() as stack:
        async with held(url):
            first = await stack.enter_async_context(migrating(url, tmp_path, "first"))
            await until(witness, WAITING)
            second = await stack.enter_async_context(migrating(url, tmp_path, "second"))
            await until(witness, TAKING_TURNS, 1)
            if killed:
                first.kill()
                await first.wait()
            assert second.returncode is None
        assert await ended(second, 30) == 0
        assert await ended(first, 30) == (-SIGKILL if killed else 0)
    applied = {name: (tmp_path / name).read_text().count("applied") for name in ("first", "second")}
    everything = len(load_migrations())
    assert applied == {"first": 0 if killed else everything, "second": everything if killed else 0}
    await check(witness, PARTITIONS)


@pytest.mark.parametrize("point", ["migrate.executed", "migrate.noted"])
async def test_a_migration_killed_before_its_commit_leaves_nothing_and_the_next_goes_through(
    empty_database_url: str,
    witness: asyncpg.Connection,
    tmp_path: Path,
    point: str,
) -> None:
    env = {"DATABASE_URL": empty_database_url, "PARTITIONS": str(PARTITIONS)}
    for failpoints, left in ((f"{point}=kill", 0), ("", len(load_migrations()))):
        environment = {**env, "FAILPOINTS": failpoints}
        member = start("migrate", ["migrate"], environment, tmp_path / "migrate.log")
        async with limited(30):
            await member.ended()
        await until(witness, ALONE)
        assert await witness.fetchval("select count(*) from migrations") == left
    await check(witness, PARTITIONS)
