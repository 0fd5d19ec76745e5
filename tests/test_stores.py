"""What tests may rely on: a database of their own with all tables, and a Valkey with nothing in it."""

from __future__ import annotations

import asyncpg
import pytest
from redis.asyncio import Redis

LIBRARY = "#!lua name=left\nserver.register_function('left', function() return 1 end)"


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_every_test_gets_a_migrated_database_of_its_own(database_url: str, turn: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("select count(*) from events") == 0
        await connection.execute("create table left_behind (turn text)")
    finally:
        await connection.close()


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_every_test_gets_a_valkey_without_keys_or_functions(
    redis_url: str, turn: str
) -> None:
    async with Redis.from_url(redis_url) as valkey:
        assert await valkey.dbsize() == 0
        assert await valkey.function_list() == []
        await valkey.set("left", turn)
        await valkey.function_load(LIBRARY)


async def test_an_empty_database_has_no_table(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        tables = "select count(*) from pg_tables where schemaname = 'public'"
        assert await connection.fetchval(tables) == 0
    finally:
        await connection.close()
