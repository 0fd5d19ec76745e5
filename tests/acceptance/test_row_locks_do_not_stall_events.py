"""A lock on a user's row delays commands on that user, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from api.runtime import drivers
from tests.acceptance.service import Client, running
from tests.acceptance.test_health import ALL_WELL
from tests.domain.write_model import WriteModel
from tests.limited import limited

if TYPE_CHECKING:
    import asyncpg

    from api.settings import Settings

CONNECTIONS = 3
RENAME = "mutation($id: ID!, $name: String!) { renameUser(input: {userId: $id, name: $name}) { version } }"
BOB = "query($id: ID!) { user(id: $id, minVersion: 1) { name } }"
HELD = "select from users where id = $1 for update"
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"


@pytest.fixture
def narrow(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_connections": CONNECTIONS})


async def test_commands_that_wait_for_a_row_keep_no_event_from_the_read_model(
    narrow: Settings,
) -> None:
    async with (
        running(narrow) as client,
        drivers.database(narrow) as pool,
        limited(20),
    ):
        alice = await client.create_user()
        elsewhere = WriteModel(pool)
        async with pool.acquire() as holder:
            transaction = holder.transaction()
            await transaction.start()
            await holder.execute(HELD, alice)
            renamed = [asyncio.create_task(rename(client, alice, n)) for n in range(CONNECTIONS)]
            await all_wait(pool)
            bob = await elsewhere.user("Bob", "bob@example.com")
            shown = await client.data(BOB, id=str(bob))
            assert shown == {"user": {"name": "Bob"}}
            assert (await client.http.get("/readyz")).json()["parts"] == ALL_WELL
            assert not any(task.done() for task in renamed)
            await transaction.rollback()
        answers = await asyncio.gather(*renamed)
        assert sorted(answer["renameUser"]["version"] for answer in answers) == [2, 3, 4]


async def rename(client: Client, user: str, number: int) -> dict[str, Any]:
    return await client.data(RENAME, id=user, name=f"Alice {number}")


async def all_wait(pool: asyncpg.Pool) -> None:
    while await pool.fetchval(WAITING) < CONNECTIONS:
        await asyncio.sleep(0.01)
