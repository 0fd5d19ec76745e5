"""What an inspection reads, and that what it found is found again until the stream has begun again."""

from __future__ import annotations

import pytest

from domain.log import backlog, log_comparison, log_inspection
from tests.domain.log.relay_harness import RelayHarness, settle, user_in, write

EVENTS = 50_000

MANY = f"""
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at, xid)
    select number & 7, gen_random_uuid(), 1, 'UserRenamed', 1, '{{}}', '{{}}', now(),
           (3 + number / 80)::text::xid8
    from generate_series(1, {EVENTS}) as number
"""


def buffers(plan: list[str]) -> int:
    """How many pages a statement has read."""
    first = next(line for line in plan if "Buffers:" in line)
    return sum(int(word.split("=")[1]) for word in first.split() if "=" in word)


async def pages_read(harness: RelayHarness, statement: str, types: str, arguments: str) -> int:
    """With the plan that a prepared statement may turn to."""
    async with harness.model.pool.acquire() as connection:
        await connection.execute("set plan_cache_mode = force_generic_plan")
        await connection.execute(f"prepare inspected({types}) as {statement}")
        explain = f"explain (analyze, buffers) execute inspected({arguments})"
        plan = [row[0] for row in await connection.fetch(explain)]
        await connection.execute("reset all; deallocate all")
    return buffers(plan)


@pytest.mark.parametrize("is_foreign", [False, True])
async def test_neither_an_inspection_nor_the_backlog_query_reads_the_whole_log(
    harness: RelayHarness, is_foreign: bool
) -> None:
    pool = harness.model.pool
    await pool.execute(MANY)
    if is_foreign:
        await pool.execute("update events set xid = '1000000' where position <= 1000")
    await pool.execute("vacuum analyze events")
    [(now, highest, lowest)] = await pool.fetch(
        "select pg_current_snapshot()::text, max(position), min(position) from events where partition = 3"
    )
    mark = f"array[3]::smallint[], array['{now}'], array[{highest}]::bigint[], array[{lowest}]::bigint[]"
    types = "smallint[], text[], bigint[], bigint[]"
    assert await pages_read(harness, log_comparison._COMPARE_BOUNDS, types, mark) < 30  # noqa: SLF001
    fresh = f"array[3]::smallint[], array['{now}'], array[null]::bigint[]"
    types = "smallint[], text[], bigint[]"
    assert await pages_read(harness, backlog._BACKLOG, types, fresh) < 60  # noqa: SLF001


@pytest.fixture
def _no_window_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_inspection, "MAX_SMALL_WINDOW_EVENTS", 0)


@pytest.mark.usefixtures("_no_window_is_small")
async def test_an_end_of_the_log_that_is_gone_is_found_in_a_window_of_any_size(
    harness: RelayHarness,
) -> None:
    relay = harness.relay(inspection_interval_seconds=0.0)
    await settle(relay)
    user_id = user_in(3)
    for version in (1, 2, 3):
        await write(harness.model.pool, user_id, version)
    await settle(relay)
    await harness.model.pool.execute("delete from events where version = 3")
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3]


@pytest.mark.usefixtures("_no_window_is_small")
async def test_what_was_found_is_found_again_if_the_stream_could_not_begin(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = harness.relay(inspection_interval_seconds=0.0)
    await settle(relay)
    user_id = user_in(3)
    for version in (1, 2, 3):
        await write(harness.model.pool, user_id, version)
    await settle(relay)
    await harness.model.pool.execute("create table kept as select * from events; truncate events")
    await harness.model.pool.execute("""
        insert into events overriding system value
        select * from kept where version <> 2
    """)

    async def lost(*_: object) -> bool:
        return False

    with monkeypatch.context() as patched:
        patched.setattr(harness.stream, "reset", lost)
        for _ in range(4):
            await relay.run_once()
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3]


async def test_older_events_that_were_put_back_below_newer_ones_begin_the_stream_again(
    harness: RelayHarness,
) -> None:
    pool, relay = harness.model.pool, harness.relay(inspection_interval_seconds=0.0)
    for version in (1, 2):
        await write(pool, user_in(3), version)
    await settle(relay)
    await pool.execute("create table kept as select * from events; truncate events")
    await settle(relay)
    await write(pool, user_in(3), 1)
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3]
    await pool.execute("insert into events overriding system value select * from kept")
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3, 3]
