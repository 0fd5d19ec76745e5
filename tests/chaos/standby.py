"""A hot standby of a PostgreSQL, and what a failover does to both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from api.embedded.postgres import binary
from tests.chaos.stores import Postgres, postgres
from tests.limited import limited
from tests.processes import ended

_NONE_WRITES = """
    select count(*) = 0 from pg_stat_activity
    where backend_type = 'client backend' and state <> 'idle' and xact_start < $1
"""


@asynccontextmanager
async def standby_of(primary: Postgres, name: str = "s") -> AsyncIterator[Postgres]:
    """A server that replays what the primary writes, and can be read; `name` is its directory's."""
    place = primary.place.parent / name
    place.mkdir(mode=0o700)
    source, target = ("-h", str(primary.sockets), "-U", "tandem"), ("-D", str(place / "postgres"))
    options = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync")
    process = await asyncio.create_subprocess_exec(
        binary("pg_basebackup"), *source, *target, *options
    )
    assert await ended(process, 60) == 0
    async with postgres(place) as standby:
        yield standby


async def ask(server: Postgres, query: str, *arguments: object) -> object:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


async def until(server: Postgres, query: str, *arguments: object) -> None:
    async with limited(30):
        while not await ask(server, query, *arguments):
            await asyncio.sleep(0.02)


async def caught_up(primary: Postgres, standby: Postgres) -> None:
    """Returns once the standby has replayed all that the primary has written."""
    end = await ask(primary, "select pg_current_wal_lsn()")
    await until(standby, "select pg_last_wal_replay_lsn() >= $1", end)


async def fence(server: Postgres, value: str = "on") -> None:
    """Has a server refuse writes while its connections stay open; with `off` it takes them again."""
    await ask(server, f"alter system set default_transaction_read_only = {value}")
    await ask(server, "select pg_reload_conf()")
    await until(server, "select current_setting('default_transaction_read_only') = $1", value)


async def fail_over(primary: Postgres, standby: Postgres) -> None:
    """Without a loss: the old one is fenced, the standby follows to the end, and is promoted."""
    await fence(primary)
    fenced_at = await ask(primary, "select clock_timestamp()")
    await until(primary, _NONE_WRITES, fenced_at)  # whoever had begun before may still commit
    await caught_up(primary, standby)
    assert await ask(standby, "select pg_promote()")
