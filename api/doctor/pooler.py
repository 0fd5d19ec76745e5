"""A pooler between us and PostgreSQL: how one shows that is not set as we need it, and what to set."""

from __future__ import annotations

import asyncpg

from api.addresses import reason
from api.doctor.finding import Finding, hint, ok

MISFITS = (
    asyncpg.ProtocolViolationError,  # a start-up parameter that it does not know
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
)
"""What asyncpg raises behind a pooler that does not fit."""

UNSET = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "jit": "on",
}
"""What each connection of ours sets when it begins, and how that reads where a pooler ignored it."""

_PATIENCE = 1.0
"""Seconds for a connection that a pooler has yet to find a backend for."""

_BACKEND = "select pg_backend_pid()"


def remedy(error: BaseException) -> str:
    """One sentence about one of MISFITS; it says what to set."""
    said = reason(error)
    if "startup parameter" in said:
        return (
            f"A pooler refuses what we set for a session ({said}); let pgbouncer have"
            f" ignore_startup_parameters = {','.join(UNSET)}."
        )
    return (
        "A pooler gives each transaction another backend, which does not have our prepared statements"
        f" ({said}); let pgbouncer have pool_mode = session, or max_prepared_statements (from 1.21 on)."
    )


async def between(one: asyncpg.Connection, other: asyncpg.Connection) -> Finding:
    """Whether somebody else may get our backend between two transactions of ours. Raises MISFITS.

    The other holds in a transaction whichever it got, so we are given another, or were so before.
    """
    mine = await one.fetchval(_BACKEND)
    async with other.transaction():
        theirs = await other.fetchval(_BACKEND)
        try:
            again = await one.fetchval(_BACKEND, timeout=_PATIENCE)
        except TimeoutError:  # it is the only one that the pooler may use
            again = theirs
    if mine == again and mine != theirs:
        return ok("pooler", "none between transactions")
    return hint(
        "pooler",
        "A pooler gives each transaction another backend, and carries our prepared statements there; let"
        " `tandem migrate` connect past it, and run the roles apart rather than `tandem serve`.",
    )


async def session(connection: asyncpg.Connection) -> Finding:
    """A pooler that was told to ignore what it does not know does so silently."""
    unset = [
        name
        for name, value in UNSET.items()
        if await connection.fetchval("select current_setting($1)", name) == value
    ]
    if unset:
        return hint(
            "session",
            f"A pooler keeps {', '.join(unset)} from us; set them for our role (alter role ... set ...).",
        )
    return ok("session", "has the time limits that we set")
