"""Checks whether a pooler assigns a backend for each transaction, or drops settings of the session."""

from __future__ import annotations

import asyncpg

from api.cli.checks.finding import Finding, hint, ok
from api.runtime.pgbouncer import UNSET

_TIMEOUT_SECONDS = 1.0
"""Time limit for a pooler to assign a backend."""

_BACKEND = "select pg_backend_pid()"


async def check(first: asyncpg.Connection, second: asyncpg.Connection) -> Finding:
    """Checks that a connection keeps its backend between two transactions. Raises POOLER_ERRORS.

    The second connection holds its backend in a transaction. A pooler has assigned it that of the first, or
    assigns another one to the first.
    """
    before = await first.fetchval(_BACKEND)
    async with second.transaction():
        held = await second.fetchval(_BACKEND)
        try:
            after = await first.fetchval(_BACKEND, timeout=_TIMEOUT_SECONDS)
        except TimeoutError:  # the pooler has no other backend
            after = held
    if before == after and before != held:
        return ok("pooler", "none between transactions")
    return hint(
        "pooler",
        "A pooler assigns a backend for each transaction, and prepares our statements there; let"
        " `tandem migrate` connect without it, and run single roles rather than `tandem serve`.",
    )


async def check_session(connection: asyncpg.Connection) -> Finding:
    """Checks our session settings, which a pooler with ignore_startup_parameters drops silently."""
    unset = [
        name
        for name, value in UNSET.items()
        if await connection.fetchval("select current_setting($1)", name) == value
    ]
    if unset:
        return hint(
            "session",
            f"A pooler drops {', '.join(unset)}; set them for our role (alter role ... set ...).",
        )
    return ok("session", "has the time limits that we set")
