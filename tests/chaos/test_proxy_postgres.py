"""Faults that befall single answers of PostgreSQL, seen by asyncpg and by the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import asyncpg
import pytest

from api.runtime import drivers
from api.settings import Settings
from domain.users.aggregate import USER
from domain.users.commands.rename_user import RenameUser
from domain.write import rows, sql
from domain.write.database import WriteModelUnavailable
from tests.chaos.proxy import Proxy, proxy
from tests.domain.write_model import WriteModel, create
from tests.limited import limited

ROWS = "select n, repeat('x', n) as text from generate_series(1, $1::int) n"


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Proxy]:
    async with proxy(database_url) as wire:
        yield wire


@pytest.fixture
async def past(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    async with connected(database_url) as connection:
        yield connection


@pytest.fixture
async def wired(wire: Proxy) -> AsyncIterator[WriteModel]:
    """A store on one connection, whose statements are prepared."""
    settings = Settings(database_url=wire.url, database_connections=2)
    async with drivers.database(settings) as pool:
        model = WriteModel(pool)
        user_id = await model.user("Warm", "warm@example.com")
        await model.ask(RenameUser(user_id=user_id, name="Up"))
        wire.asked.clear()
        yield model


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        connection.terminate()


async def events(past: asyncpg.Connection) -> int:
    return int(await past.fetchval("select count(*) from events"))


async def test_a_write_whose_commit_was_not_heard_of_is_in_the_log_once(
    wire: Proxy, wired: WriteModel, past: asyncpg.Connection
) -> None:
    before = await events(past)
    command = create("Alice", "alice@example.com", key="k")
    lost = wire.cut_at_commit()
    with pytest.raises(WriteModelUnavailable, match="not known"):
        await wired.ask(command)
    assert lost.fired.is_set()
    assert await events(past) == before + 1
    again = await wired.ask(create("Alice", "alice@example.com", key="k"))
    assert (again.id, again.version) == (command.user_id, 1)
    assert await events(past) == before + 1


async def test_a_statement_that_is_being_prepared_is_not_yet_the_one_that_is_meant(
    wire: Proxy, database_url: str, past: asyncpg.Connection
) -> None:
    settings = Settings(database_url=wire.url, database_connections=2)
    async with drivers.database(settings) as pool:
        wire.cut_at_commit()
        with pytest.raises(WriteModelUnavailable, match="not known"):
            await WriteModel(pool).user()
    assert await events(past) == 1


async def test_round_trips_are_counted_by_what_they_run(wire: Proxy, wired: WriteModel) -> None:
    user_id = await wired.user()
    await wired.ask(RenameUser(user_id=user_id, name="Zoë"))
    created = sql.write_statement(
        USER, creates=True, children=(0,), removed=(False,), keyed=False, erases=False, events=1
    )
    changed = sql.write_statement(
        USER, creates=False, children=(0,), removed=(False,), keyed=False, erases=False, events=1
    )
    assert wire.asked == {created: 1, rows.load_statement(USER, None): 1, changed: 1}


async def test_a_held_answer_lets_a_test_stand_between_commit_and_answer(
    wire: Proxy, wired: WriteModel, past: asyncpg.Connection
) -> None:
    before = await events(past)
    held = wire.hold_next("insert into events")
    asked = asyncio.create_task(wired.user())
    await held.reached
    assert await events(past) == before + 1
    assert not asked.done()
    held.release()
    user_id = await asked
    assert await past.fetchval("select version from users where id = $1", user_id) == 1


async def test_errors_are_answers_and_what_follows_is_still_matched(
    wire: Proxy, past: asyncpg.Connection
) -> None:
    async with connected(wire.url) as connection:
        for _ in range(3):
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.fetchval("select 1 / $1::int", 0)
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await connection.execute("select 1; nonsense")
        async with connection.transaction():
            await connection.copy_records_to_table("migrations", records=[], columns=["name"])
        fault = wire.swallow_next("+ 1")
        assert await connection.fetchval("select $1::int + 2", 1) == 3
        assert not fault.fired.is_set()
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await connection.fetchval("select $1::int + 1", 1)
        assert fault.fired.is_set()


async def test_a_wish_to_cancel_passes(wire: Proxy) -> None:
    async with connected(wire.url) as connection:
        with pytest.raises(TimeoutError):
            await connection.execute("select pg_sleep(60)", timeout=0.05)
        assert await connection.fetchval("select 1") == 1


@pytest.mark.parametrize(("listen", "step"), [("unix", 1), ("tcp", 5)])
async def test_an_answer_cut_at_any_byte_is_an_error_and_never_another_value(
    database_url: str, listen: Literal["unix", "tcp"], step: int
) -> None:
    """Of the connection's start and, byte by byte, of one statement, prepared and run."""
    size, whole = 0, 0
    async with proxy(database_url, listen) as wire:
        while whole < 2:
            wire.cut_after(size)
            try:
                async with limited(5), connected(wire.url) as connection:
                    values = await connection.fetch(ROWS, 3)
                    assert [tuple(row) for row in values] == [(1, "x"), (2, "xx"), (3, "xxx")]
                    whole += 1
            except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError):
                assert not whole
            wire.heal()
            size += step if size > 440 else 20
    assert size > 500


async def test_a_truncated_answer_is_an_error(wire: Proxy, wired: WriteModel) -> None:
    user_id = await wired.user()
    fault = wire.truncate_next("left join users")
    with pytest.raises(WriteModelUnavailable, match="nothing was written"):
        await wired.ask(RenameUser(user_id=user_id, name="Zoë"))
    assert fault.fired.is_set()
    await wired.ask(RenameUser(user_id=user_id, name="Zoë"))


async def test_a_write_cut_at_any_byte_is_carried_out_only_if_it_was_whole(
    wire: Proxy, wired: WriteModel, past: asyncpg.Connection
) -> None:
    carried_out: list[bool] = []
    while True:
        await wired.user("Warm", f"warm{len(carried_out)}@example.com")
        await until_every_connection_is_idle(wired.pool)
        before = await events(past)
        lost = wire.cut_after(11 * len(carried_out), "requests")
        command = create("Alice", "alice@example.com")
        try:
            await wired.ask(command)
            break
        except WriteModelUnavailable:
            pass
        assert lost.fired.is_set()
        await until_the_store_is_gone(past)
        carried_out.append(await events(past) > before)
    assert len(carried_out) > 30
    assert not any(carried_out[:-1]), "the last one may have been whole"


async def until_every_connection_is_idle(pool: asyncpg.Pool) -> None:
    """The store returns a connection a while after its last command, and a cut counts those bytes too."""
    async with limited(10):
        while pool.get_idle_size() < pool.get_size():
            await asyncio.sleep(0.01)


async def until_the_store_is_gone(past: asyncpg.Connection) -> None:
    query = """
        select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'tandem'
    """
    async with limited(10):
        while await past.fetchval(query):
            pass
