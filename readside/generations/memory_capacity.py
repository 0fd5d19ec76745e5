"""Memory of Redis: a rebuild needs room for a second read model beside the one that serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog

from readside.redis_functions.keys import Partition

if TYPE_CHECKING:
    from redis.asyncio import Redis

FULL: Final = (
    "Redis is full (maxmemory), so the read model is not built or brought up to date: raise maxmemory; a"
    " rebuild needs room for a second read model beside the one that serves."
)

_REMEMBERED = 60
"""Seconds for which a rebuild that found Redis full is reported, and not logged again."""

_log = structlog.get_logger(__name__)


def is_full(memory: Mapping[str, Any]) -> bool:
    """Returns whether Redis refuses writes for want of memory, by its INFO memory."""
    return 0 < int(memory.get("maxmemory", 0)) <= int(memory.get("used_memory", 0))


async def report(redis: Redis, place: Partition) -> None:
    """Notes that a rebuild found Redis full, when the memory that it took is free again: for status."""
    if await redis.set(place.redis_full, 1, nx=True, ex=_REMEMBERED):
        _log.error("rebuild.redis_full", partition=place.number, todo=FULL)
