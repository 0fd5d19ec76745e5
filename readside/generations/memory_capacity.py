"""Memory of Redis: a rebuild needs room for a second read model next to the active one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from readside.redis_functions.keys import Partition

FULL: Final = (
    "Redis is full (maxmemory), so the read model is not built or brought up to date: raise maxmemory; a"
    " rebuild needs room for a second read model next to the active one."
)

_REPORTED_SECONDS = 60
"""How long a rebuild that failed for want of memory is reported, and not logged again."""

_log = structlog.get_logger(__name__)


def is_full(memory: Mapping[str, Any]) -> bool:
    """Returns whether Redis refuses writes for want of memory, by its INFO memory."""
    return 0 < int(memory.get("maxmemory", 0)) <= int(memory.get("used_memory", 0))


async def report_full(redis: Redis, partition: Partition) -> None:
    """Records for the status that a rebuild found Redis full, once its memory is free again."""
    if await redis.set(partition.redis_full, 1, nx=True, ex=_REPORTED_SECONDS):
        _log.error("rebuild.aborted", partition=partition.number, todo=FULL)
