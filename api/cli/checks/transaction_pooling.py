"""Whether a pooler gives each transaction another backend, or drops the settings of our sessions."""

from __future__ import annotations

import asyncpg

from api.cli.checks.finding import Finding, hint, ok
from api.runtime.pgbouncer import UNSET

_TIMEOUT_SECONDS = 1.0
"""Seconds for a connection that a pooler has yet to find a backend for."""

_BACKEND = "select pg_backend_pid()"


async def between(one: asyncpg.Connection, other: asyncpg.Connection) -> Finding:
    """Whether somebody else may get our backend between two transactions of ours. Raises MISFITS.

    The other holds in a transaction whichever it got, so we are given another, or were so before.
    """
    mine = await one.fetchval(_BACKEND)
    async with other.transaction():
        theirs = await other.fetchval(_BACKEND)
        try:
            again = await one.fetchval(_BACKEND, timeout=_TIMEOUT_SECONDS)
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
