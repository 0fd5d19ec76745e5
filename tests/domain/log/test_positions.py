"""A log that was copied without its sequence: what is wrong is said, with the statement that repairs it."""

from __future__ import annotations

import re

import asyncpg
import pytest
from structlog.testing import capture_logs

from domain.log import positions
from domain.migrate import MigrationError, check_positions
from domain.write.database import WriteModelUnavailable
from tests.domain.write_model import WriteModel

RESTART = "alter table events alter column position restart"


def statement_in(sentence: str) -> str:
    found = re.search(r"select setval\('[^']*', \d+\);", sentence)
    assert found, sentence
    return found[0]


async def test_a_sequence_behind_the_log_is_repaired_by_the_statement_that_is_printed(
    model: WriteModel,
) -> None:
    await model.user()
    user_id = await model.user("Bob", "bob@example.com")
    assert await positions.find_fault(model.pool.fetch) is None
    await model.pool.execute(RESTART)
    fault = await positions.find_fault(model.pool.fetch) or ""
    assert "continues at 1, but the log has events up to position 2" in fault
    await model.pool.execute(statement_in(fault))
    assert await positions.find_fault(model.pool.fetch) is None
    await model.order(user_id)
    assert await model.pool.fetchval("select max(position) from events") == 3


@pytest.mark.parametrize(
    ("statement", "is_fault"),
    [
        ("select setval('events_position_seq', 1, false)", True),
        ("select setval('events_position_seq', 1)", True),
        ("select setval('events_position_seq', 2, false)", True),
        ("select setval('events_position_seq', 2)", False),
        ("select setval('events_position_seq', 3, false)", False),
        ("delete from events", False),
        ("alter table events alter column position drop identity", True),
    ],
)
async def test_the_next_position_must_be_above_the_highest(
    model: WriteModel, statement: str, is_fault: bool
) -> None:
    await model.user()
    await model.user("Bob", "bob@example.com")
    await model.pool.execute(statement)
    assert (await positions.find_fault(model.pool.fetch) is not None) == is_fault


async def test_a_schema_with_an_odd_name_is_quoted(model: WriteModel) -> None:
    await model.user()
    await model.pool.execute("""alter schema public rename to "it's Ours" """)
    async with model.pool.acquire() as connection:
        await connection.execute("""set search_path to "it's Ours" """)
        await connection.execute(RESTART)
        fault = await positions.find_fault(connection.fetch) or ""
        await connection.execute(fault[fault.index("select setval") :])
        assert await positions.find_fault(connection.fetch) is None


async def test_the_start_refuses_such_a_log_unless_it_may_not_look(model: WriteModel) -> None:
    await model.user()
    await model.pool.execute(RESTART)
    async with model.pool.acquire() as connection:
        with pytest.raises(
            MigrationError, match=r"select setval\('public.events_position_seq', 1\);$"
        ):
            await check_positions(connection)  # type: ignore[arg-type]
        async with connection.transaction():
            await connection.execute("set local role pg_read_all_stats")  # which has no sequences
            await check_positions(connection)  # type: ignore[arg-type]


async def test_the_highest_position_is_found_without_reading_the_log(model: WriteModel) -> None:
    await model.user()
    plan = await model.rows(f"explain {positions._HIGHEST_POSITION}")  # noqa: SLF001
    text = "\n".join(row["QUERY PLAN"] for row in plan)
    assert "Index Only Scan Backward using events_pkey" in text
    assert "Seq Scan on events" not in text


async def test_a_running_service_logs_the_sentence_once_a_minute_and_nothing_is_written(
    model: WriteModel,
) -> None:
    user_id = await model.user()
    for _ in range(5):
        await model.order(user_id)
    await model.pool.execute(RESTART)
    before = await model.dump()
    with capture_logs() as logged:
        for _ in range(3):
            with pytest.raises(WriteModelUnavailable, match="nothing was written") as unavailable:
                await model.order(user_id)
            assert isinstance(unavailable.value.__cause__, asyncpg.UniqueViolationError)
    assert await model.dump() == before
    [line] = [each for each in logged if each["event"] == "store.positions_taken"]
    await model.pool.execute(statement_in(line["todo"]))
    await model.order(user_id)
