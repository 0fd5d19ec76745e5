"""Several write models on one database, as several API processes are, and a COMMIT that a test holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from api.runtime import drivers
from api.settings import Settings
from tests.domain.write_model import WriteModel
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import Iterable

HOLD = 0x401D
"""The number of the advisory lock that stands between insert and COMMIT."""

# Deferred, so that every row is written when it waits, and whoever waits stands within its COMMIT.
_TRIGGER = """
    create function hold_commit() returns trigger language plpgsql as $$
    begin
        perform pg_advisory_xact_lock_shared(%(lock)s);
        return null;
    end $$;
    create constraint trigger hold_commit after insert on events
        deferrable initially deferred for each row when (%(when)s) execute function hold_commit();
"""


@asynccontextmanager
async def write_models(
    database_url: str, count: int, *, connections: int = 4, seconds: float = 10.0
) -> AsyncIterator[list[WriteModel]]:
    """`seconds`: the time limit of a statement."""
    settings = Settings(
        database_url=database_url, database_connections=connections, command_timeout=seconds
    )
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(drivers.database(settings)) for _ in range(count)]
        yield [WriteModel(pool) for pool in pools]


class Hold:
    """Whoever has written an event waits in its COMMIT until `release`."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def release(self) -> None:
        await self._connection.execute("select pg_advisory_unlock_all()")

    async def reached(self, waiting: int = 1) -> None:
        """Returns once so many transactions stand there."""
        await self._until(
            "select count(*) >= $1 from pg_locks where locktype = 'advisory' and objid = $2"
            " and not granted",
            waiting,
            HOLD,
        )

    async def blocked(self, waiting: int) -> None:
        """Returns once so many backends of this database wait for a lock, of whatever kind."""
        await self._until(
            "select count(*) >= $1 from pg_stat_activity"
            " where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0",
            waiting,
        )

    async def at_rest(self) -> None:
        """Returns once nobody but us has a transaction or a statement under way."""
        await self._until(
            "select count(*) = 1 from pg_stat_activity"
            " where datname = current_database() and state <> 'idle'"
        )

    async def counts(self) -> dict[str, int]:
        """How many rows there are."""
        return {
            table: await self._connection.fetchval(f"select count(*) from {table}")
            for table in ("users", "commands", "events")
        }

    async def positions(self) -> list[UUID]:
        """Whose the events are, in the order in which their positions were drawn."""
        rows = await self._connection.fetch("select user_id from events order by position")
        return [row["user_id"] for row in rows]

    async def _until(self, query: str, *arguments: object) -> None:
        async with limited(30):
            while not await self._connection.fetchval(query, *arguments):
                await asyncio.sleep(0.005)


@asynccontextmanager
async def held_commits(database_url: str, when: str = "true") -> AsyncIterator[Hold]:
    """From here on the COMMIT of every event waits `when` its row is so, until the end at the latest."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_TRIGGER % {"lock": HOLD, "when": when})
        await connection.execute("select pg_advisory_lock($1)", HOLD)
        yield Hold(connection)
    finally:
        connection.terminate()


def only(answers: Iterable[object]) -> object:
    """The one answer that all of them are."""
    [answer] = set(answers)
    return answer
