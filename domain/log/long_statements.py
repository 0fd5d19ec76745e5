"""Transactions for statements whose work grows with the log or a backlog: at a start, restart or rebuild."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from domain.connection_pool import refuse_read_only

MAX_STATEMENT_SECONDS = 3600.0


@asynccontextmanager
async def long_statements(pool: asyncpg.Pool) -> AsyncIterator[PoolConnectionProxy]:
    """Yields a connection in a read-only transaction without a statement timeout.

    Raises ReadOnlySQLTransactionError if the server is read-only in the end.
    """
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        await connection.execute("set local statement_timeout = 0")
        yield connection
        refuse_read_only(connection)


async def fetch_long(pool: asyncpg.Pool, statement: str, *arguments: object) -> asyncpg.Record:
    """Returns the one row of a statement that may take long."""
    async with long_statements(pool) as connection:
        row = await connection.fetchrow(statement, *arguments, timeout=MAX_STATEMENT_SECONDS)
    assert row is not None
    return row
