"""Errors of a pooler before PostgreSQL (pgbouncer) that is not configured for us, and what to set."""

from __future__ import annotations

import asyncpg

from api.server_urls import reason

POOLER_ERRORS = (
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


def advice(error: BaseException) -> str:
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
