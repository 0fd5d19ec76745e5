"""The identity of the event log: whether the streams in Redis were filled from it or from another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
from redis.exceptions import RedisError

from api.cli.checks.finding import Finding, ok, wrong
from api.runtime.log_check import refuse_foreign_log
from domain.log.log_identity import ForeignLog
from domain.write.database import UNAVAILABLE_ERRORS

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from api.settings import Settings

_BEFORE = {"PostgreSQL", "pooler", "migrations", "permissions", "Redis"}
"""Findings of which one that is wrong says why the identity cannot be read."""


async def look(
    pool: asyncpg.Pool, redis: Redis, settings: Settings, before: list[Finding]
) -> list[Finding]:
    """Returns nothing where one of the findings so far says why it cannot look."""
    if any(finding.level == "wrong" and finding.what in _BEFORE for finding in before):
        return []
    try:
        await refuse_foreign_log(pool, redis, settings)
    except ForeignLog as error:
        return [wrong("event log", str(error))]
    except (*UNAVAILABLE_ERRORS, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError):
        return []
    return [ok("event log", "no stream in Redis is of another one")]
