"""Errors of a connection pooler (pgbouncer) whose configuration does not suit Tandem."""

from __future__ import annotations

import asyncpg

from api.server_urls import reason

POOLER_ERRORS = (
    asyncpg.ProtocolViolationError,  # a startup parameter that it does not know
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
)
"""Errors that asyncpg raises behind an unsuitable pooler."""

UNSET = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "jit": "on",
}
"""Parameters that each connection sets at startup, with their values if a pooler ignored them."""


def advice(error: BaseException) -> str:
    """Returns one sentence about one of POOLER_ERRORS that says what to configure."""
    message = reason(error)
    if "startup parameter" in message:
        return (
            f"A pooler refuses what we set for a session ({message}); let pgbouncer have"
            f" ignore_startup_parameters = {','.join(UNSET)}."
        )
    return (
        "A pooler gives each transaction another backend, which does not have our prepared statements"
        f" ({message}); let pgbouncer have pool_mode = session, or max_prepared_statements (from 1.21 on)."
    )
