"""Whether REDIS_URL still leads to the same Redis.

A failover behind one address (a Service, a virtual IP, a proxy) leaves the old primary alive, with our
connections to it. So the address is dialled once a second; when another server answers, or the same one in
another role, every connection of this process is replaced.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from api.observability.redis_primary import REPLICA, Seen, seen
from api.runtime import drivers
from api.runtime.background import LoopFailed

if TYPE_CHECKING:
    from api.settings import Settings
    from readside.redis_connection.connection_expiry import ConnectionExpiry

CHECK_INTERVAL_SECONDS = 1.0
"""Seconds."""

_log = structlog.get_logger(__name__)


async def follow(settings: Settings, expiry: ConnectionExpiry) -> None:
    """Has connections replaced when the address leads elsewhere, and by age.

    Raises Fallen if the first server that answers is unfit; of a later one the log and /readyz tell.
    """
    clock = asyncio.get_running_loop().time
    before, until = None, clock() + drivers.connection_max_age()
    while True:
        found = await _dialled(settings)
        if found is not None and found != before:
            _take(before, found, expiry)
            before = found
        if clock() >= until:
            expiry.expire()
            until = clock() + drivers.connection_max_age()
        await asyncio.sleep(CHECK_INTERVAL_SECONDS)


def _take(before: Seen | None, found: Seen, expiry: ConnectionExpiry) -> None:
    if before is None and found.unfit:
        raise LoopFailed(found.unfit)
    if before is not None:
        expiry.expire()
        _log.info("redis.moved" if found.run != before.run else "redis.changed", role=found.role)
    if found.unfit or found.role == "replica":
        _log.warning("redis.unfit", reason=found.unfit or REPLICA)


async def _dialled(settings: Settings) -> Seen | None:
    """What answers at the address now, by a connection of its own; None if nothing does."""
    try:
        async with drivers.redis_for_one_look(settings) as redis:
            return await seen(redis)
    except (RedisError, OSError):
        return None
