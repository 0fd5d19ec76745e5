"""Idempotency keys beyond their retention are deleted in small batches, and no others."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest

from domain.migrate import DIRECTORY, migrate
from domain.write.key_retention import _DELETE, KeyRetention, oldest_key_age
from tests.domain.write_model import WriteModel, create

DAY = 86_400

_AGED = "update commands set answered_at = now() - make_interval(days => $1)"

_KEYS = """
    insert into commands (key, fingerprint, id, user_id, version, answered_at)
    select sha256(number::text::bytea), '', gen_random_uuid(), gen_random_uuid(), 1,
           now() - make_interval(days => number)
    from generate_series(0, $1 - 1) as number
"""


def retention(model: WriteModel, days: float = 30, size: int = 7) -> KeyRetention:
    return KeyRetention(model.pool, days, batch_size=size, pause_seconds=0.0)


async def finish(job: KeyRetention) -> int:
    """Runs it to its end and returns the number of full batches."""
    batches = 0
    while await job.run_once():
        batches += 1
    return batches


async def test_keys_beyond_the_retention_are_deleted_and_no_others(model: WriteModel) -> None:
    await model.pool.execute(_KEYS, 61)
    job = retention(model)
    assert await finish(job) == 4  # 31 keys, in batches of 7
    assert job.deleted == 31
    left = await model.rows("select now() - answered_at < '30 days' as young from commands")
    assert [row["young"] for row in left] == [True] * 30
    assert 28.9 * DAY < await oldest_key_age(model.pool) < 29.1 * DAY


async def test_a_retention_of_0_keeps_all_keys(model: WriteModel) -> None:
    await model.pool.execute(_KEYS, 1000)
    job = retention(model, days=0)
    assert await finish(job) == job.deleted == 0
    assert await model.count("commands") == 1000


async def test_what_is_due_later_is_found_by_a_later_search(model: WriteModel) -> None:
    job = retention(model)
    await finish(job)
    await model.pool.execute(_KEYS, 33)
    assert not await job.run_once()  # not searched for again so soon
    assert job.deleted == 0
    job._due_at = 0.0  # noqa: SLF001
    await finish(job)
    assert job.deleted == 3


async def test_many_concurrent_processes_delete_each_key_once(model: WriteModel) -> None:
    await model.pool.execute(_KEYS, 530)
    jobs = [retention(model) for _ in range(6)]
    await asyncio.gather(*map(finish, jobs))
    await finish(last := retention(model))  # one that found the rest locked has ended early
    assert sum(job.deleted for job in [*jobs, last]) == 500
    assert await model.count("commands") == 30


async def test_a_batch_under_way_keeps_neither_commands_nor_other_processes_waiting(
    model: WriteModel,
) -> None:
    await model.ask(create("Alice", "alice@example.com", key="old"))
    await model.pool.execute(_AGED, 31)
    async with asyncio.timeout(10), model.pool.acquire() as connection, connection.transaction():
        held = KeyRetention(connection, 30)  # type: ignore[arg-type]
        await held.run_once()
        assert held.deleted == 1
        await finish(other := retention(model))
        assert other.deleted == 0
        await model.ask(create("Bob", "bob@example.com", key="new"))
        repeated = await model.ask(create("Alice", "alice@example.com", key="old"))
        assert repeated.version == 1  # the key is there until the deletion commits


async def test_a_key_beyond_the_retention_is_carried_out_as_a_new_one(model: WriteModel) -> None:
    first = await model.ask(create("Alice", "alice@example.com", key="k"))
    await model.pool.execute(_AGED, 31)
    assert await model.ask(create("Alice", "alice@example.com", key="k")) == first
    await finish(retention(model))
    again = await model.ask(create("Alice", "another@example.com", key="k"))
    assert again.aggregate_id != first.aggregate_id
    assert await model.ask(create("Alice", "another@example.com", key="k")) == again


async def test_a_search_reads_no_key_that_is_not_due(model: WriteModel) -> None:
    await model.pool.execute(_KEYS, 5000)
    await model.pool.execute("update commands set answered_at = now()")
    await model.pool.execute("analyze commands")
    async with model.pool.acquire() as connection:
        await connection.execute(f"prepare due (interval, int) as {_DELETE}")
        rows = await connection.fetch("explain execute due('30 days', 500)")
    assert "Index Cond: (answered_at <" in "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("valid", [True, False])
async def test_an_index_built_by_hand_before_the_migration_is_used_unless_it_failed(
    empty_database_url: str, tmp_path: Path, *, valid: bool
) -> None:
    for file in DIRECTORY.glob("000[1-6]*.sql"):
        shutil.copy(file, tmp_path)
    index = "select indexrelid, indisvalid from pg_index where indexrelid = 'commands_answered_at'::regclass"
    connection = await asyncpg.connect(empty_database_url)
    try:
        await migrate(connection, 1, directory=tmp_path)
        await connection.execute(
            "create index concurrently commands_answered_at on commands (answered_at)"
        )
        by_hand = await connection.fetchval(index)
        await connection.execute(
            "update pg_index set indisvalid = $2 where indexrelid = $1", by_hand, valid
        )
        await migrate(connection, 1)
        found = await connection.fetchrow(index)
    finally:
        await connection.close()
    assert found is not None
    assert (found["indexrelid"] == by_hand, found["indisvalid"]) == (valid, True)
