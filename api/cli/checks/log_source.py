"""Checks the identity of the event log: the streams in Redis must have been filled from it."""

from __future__ import annotations

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.cli.checks.finding import Finding, ok, wrong
from api.runtime.log_check import refuse_foreign_log
from api.settings import Settings
from domain.connection_pool import CONNECTION_ERRORS
from domain.log.log_identity import ForeignLog

_REQUIRED = {"PostgreSQL", "pooler", "migrations", "permissions", "Redis"}
"""Findings without which the identity cannot be read."""


async def check(
    pool: asyncpg.Pool, redis: Redis, settings: Settings, earlier: list[Finding]
) -> list[Finding]:
    """Returns nothing if an earlier finding says why the identity cannot be read."""
    if any(finding.level == "wrong" and finding.what in _REQUIRED for finding in earlier):
        return []
    try:
        await refuse_foreign_log(pool, redis, settings)
    except ForeignLog as error:
        return [wrong("event log", str(error))]
    except (*CONNECTION_ERRORS, RedisError):
        return []
    return [ok("event log", "no stream in Redis belongs to another one")]
