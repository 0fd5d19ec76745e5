"""What a command costs: round trips and the statements in them, counted on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from api.runtime import drivers
from api.settings import Settings
from domain.users.aggregate import USER
from domain.users.commands.rename_user import RenameUser
from domain.write import rows, sql
from tests.chaos.proxy import Proxy
from tests.domain.write_model import WriteModel, create


@pytest.fixture
async def wired(wire: Proxy) -> AsyncIterator[WriteModel]:
    """A write model on one connection, whose statements are prepared."""
    settings = Settings(database_url=wire.url, database_connections=2)
    async with drivers.database(settings) as pool:
        model = WriteModel(pool)
        user_id = await model.user("Warm", "warm@example.com")
        await model.ask(RenameUser(user_id=user_id, name="Up"))
        wire.asked.clear()
        yield model


async def test_createuser_is_one_statement_and_one_round_trip(
    wire: Proxy, wired: WriteModel
) -> None:
    for number in range(10):
        await wired.ask(create("Alice", f"a{number}@example.com", key=f"k{number}"))
    created = sql.write_statement(
        USER, creates=True, children=(0,), removed=(False,), keyed=True, erases=False, events=1
    )
    assert wire.asked == {created: 10}


async def test_a_command_on_a_user_is_one_statement_to_read_and_one_to_write(
    wire: Proxy, wired: WriteModel
) -> None:
    user_id = await wired.user()
    wire.asked.clear()
    await wired.ask(RenameUser(user_id=user_id, name="Zoë"))
    changed = sql.write_statement(
        USER, creates=False, children=(0,), removed=(False,), keyed=False, erases=False, events=1
    )
    assert wire.asked == {rows.load_statement(USER, None): 1, changed: 1}


async def test_createuser_is_one_transaction(wired: WriteModel) -> None:
    before = await wired.pool.fetchval("select pg_current_xact_id()::text::bigint")
    await wired.user()
    row = await wired.pool.fetchrow(
        "select pg_current_xact_id()::text::bigint as now, max(xid::text::bigint) as then from events"
    )
    assert row is not None
    assert (row["then"] - before, row["now"] - before) == (1, 2)
