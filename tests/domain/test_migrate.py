"""Migrations are applied once and in order, by whoever comes first, or not at all."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from domain.migrate import DIRECTORY, MigrationError, check, load_migrations, migrate, pending
from tests.limited import limited

FIRST = "0001_write_model.sql"


@pytest.fixture
async def connection(empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


@pytest.fixture
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first migration alone."""
    path = tmp_path_factory.mktemp("first")
    shutil.copy(DIRECTORY / FIRST, path)
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The first migration and two that are younger, the second of which needs the first."""
    shutil.copy(DIRECTORY / FIRST, tmp_path)
    (tmp_path / "0002_colours.sql").write_text("create table colours (name text);")
    (tmp_path / "0003_red.sql").write_text("insert into colours values ('red'); -- größer")
    return tmp_path


async def tables(connection: asyncpg.Connection) -> set[str]:
    rows = await connection.fetch(
        "select relname from pg_class where relkind = 'r' and oid > 16000"
    )
    return {row["relname"] for row in rows}


async def test_all_migrations_are_applied_in_order(
    connection: asyncpg.Connection, directory: Path
) -> None:
    applied = await migrate(connection, 8, directory=directory)
    assert applied == [FIRST, "0002_colours.sql", "0003_red.sql"]
    assert await connection.fetchval("select name from colours") == "red"


async def test_a_migration_may_take_longer_than_the_statements_of_its_role(
    connection: asyncpg.Connection, directory: Path
) -> None:
    (directory / "0004_slow.sql").write_text("select pg_sleep(0.2);")
    await connection.execute("set statement_timeout = '150ms'")
    assert "0004_slow.sql" in await migrate(connection, 8, directory=directory)


async def test_migrating_again_applies_nothing(
    connection: asyncpg.Connection, directory: Path
) -> None:
    await migrate(connection, 8, directory=directory)
    assert await migrate(connection, 8, directory=directory) == []
    assert await connection.fetchval("select count(*) from colours") == 1


async def test_only_what_is_new_is_applied(
    connection: asyncpg.Connection, first: Path, directory: Path
) -> None:
    await migrate(connection, 8, directory=first)
    applied = await migrate(connection, 8, directory=directory)
    assert applied == ["0002_colours.sql", "0003_red.sql"]


async def test_pending_migrations_are_listed_and_not_applied(
    connection: asyncpg.Connection, first: Path, directory: Path
) -> None:
    assert await pending(connection, directory=first) == [FIRST]
    assert await tables(connection) == set()
    await migrate(connection, 8, directory=first)
    assert await pending(connection, directory=directory) == ["0002_colours.sql", "0003_red.sql"]
    assert "colours" not in await tables(connection)
    await migrate(connection, 8, directory=directory)
    assert await pending(connection, directory=directory) == []


async def test_a_database_that_lacks_a_migration_is_refused_and_one_that_has_more_is_not(
    connection: asyncpg.Connection, first: Path, directory: Path
) -> None:
    await migrate(connection, 8, directory=first)
    with pytest.raises(MigrationError, match=r"^The database lacks 0002_colours.sql; .*\.$"):
        await check(connection, 8, directory=directory)
    await migrate(connection, 8, directory=directory)
    await check(connection, 8, directory=first)
    assert await migrate(connection, 8, directory=first) == []
    assert await pending(connection, directory=first) == []
    assert await connection.fetchval("select name from colours") == "red"


async def test_concurrent_migrations_take_turns(empty_database_url: str) -> None:
    async with limited(30), AsyncExitStack() as stack:
        connections = []
        for _ in range(5):
            connection = await asyncpg.connect(empty_database_url)
            stack.push_async_callback(connection.close)
            connections.append(connection)
        applied = await asyncio.gather(*(migrate(connection, 8) for connection in connections))
    assert sorted(map(len, applied)) == [0, 0, 0, 0, len(load_migrations())]


async def test_a_migration_that_was_changed_is_an_error_and_nothing_is_applied(
    connection: asyncpg.Connection, first: Path, directory: Path
) -> None:
    await migrate(connection, 8, directory=first)
    with (directory / FIRST).open("a") as file:
        file.write("-- a second thought\n")
    with pytest.raises(MigrationError, match=rf"^{FIRST} was changed .* restore it .*\.$"):
        await migrate(connection, 8, directory=directory)
    assert "colours" not in await tables(connection)


async def test_a_migration_that_is_gone_is_an_error_and_nothing_is_applied(
    connection: asyncpg.Connection, directory: Path
) -> None:
    await migrate(connection, 8, directory=directory)
    (directory / "0003_red.sql").rename(directory / "0003_blue.sql")
    with pytest.raises(MigrationError, match=r"^The database has 0003_red.sql, .*\.$"):
        await migrate(connection, 8, directory=directory)
    assert await connection.fetchval("select count(*) from colours") == 1


@pytest.mark.parametrize(
    ("name", "misnumbered"),
    [
        ("0005_late.sql", "0005_late.sql should be number 0004"),
        ("0003_twice.sql", "0003_twice.sql should be number 0004"),
        ("four.sql", "four.sql should be number 0004"),
        ("0000_early.sql", "0000_early.sql should be number 0001"),
    ],
)
async def test_a_migration_with_a_wrong_number_is_an_error_and_nothing_is_applied(
    connection: asyncpg.Connection, directory: Path, name: str, misnumbered: str
) -> None:
    (directory / name).write_text("create table late (x int);")
    with pytest.raises(MigrationError, match=rf"^{misnumbered}; .*\.$"):
        await migrate(connection, 8, directory=directory)
    assert await tables(connection) == {"migrations"}


async def test_a_migration_that_fails_leaves_nothing_behind_and_can_be_repaired(
    connection: asyncpg.Connection, directory: Path
) -> None:
    (directory / "0003_red.sql").write_text("insert into colours values ('red'); select 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(connection, 8, directory=directory)
    assert await connection.fetchval("select count(*) from colours") == 0
    (directory / "0003_red.sql").write_text("insert into colours values ('red');")
    assert await migrate(connection, 8, directory=directory) == ["0003_red.sql"]


async def test_a_migration_that_cannot_be_recorded_is_not_applied(
    connection: asyncpg.Connection, directory: Path
) -> None:
    (directory / "0003_red.sql").write_text("""
        insert into colours values ('red');
        insert into migrations values ('0003_red.sql', 'not as it should be');
    """)
    with pytest.raises(asyncpg.UniqueViolationError):
        await migrate(connection, 8, directory=directory)
    assert await connection.fetchval("select count(*) from colours") == 0


async def test_another_number_of_partitions_is_an_error_and_nothing_is_applied(
    connection: asyncpg.Connection, first: Path, directory: Path
) -> None:
    await migrate(connection, 8, directory=first)
    with pytest.raises(MigrationError, match=r"^PARTITIONS is 16, .* created with 8; .*=8\.$"):
        await migrate(connection, 16, directory=directory)
    assert "colours" not in await tables(connection)


async def test_after_an_error_the_lock_is_free(
    connection: asyncpg.Connection, directory: Path
) -> None:
    await migrate(connection, 8)
    with pytest.raises(MigrationError):
        await migrate(connection, 16)
    assert (
        await connection.fetchval("select count(*) from pg_locks where locktype = 'advisory'") == 0
    )
