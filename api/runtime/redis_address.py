"""Detects that REDIS_URL leads to another Redis, and replaces the connections of this process then.

A failover behind one address (a Service, a virtual IP, a proxy) leaves the old primary running, with our
connections to it. So a new connection checks the address once a second; if another server responds, or the
same one in another role, every connection of this process is replaced.
"""

from __future__ import annotations

import asyncio

import structlog
from redis.exceptions import RedisError

from api.observability.redis_primary import REPLICA, RedisServerInfo, read_server_info
from api.runtime import drivers
from api.runtime.background import LoopFailed
from api.settings import Settings
from readside.redis_connection.connection_expiry import ConnectionExpiry

CHECK_INTERVAL_SECONDS = 1.0

_log = structlog.get_logger(__name__)


async def follow_address(settings: Settings, expiry: ConnectionExpiry) -> None:
    """Has connections replaced when the address leads to another server, and at their maximum age.

    Raises LoopFailed if the first server that responds is unsuitable; a later one is logged and reported by
    /readyz.
    """
    clock = asyncio.get_running_loop().time
    current, expires_at = None, clock() + drivers.connection_max_age()
    while True:
        server = await _server_at_address(settings)
        if server is not None and server != current:
            _on_change(current, server, expiry)
            current = server
        if clock() >= expires_at:
            expiry.expire()
            expires_at = clock() + drivers.connection_max_age()
        await asyncio.sleep(CHECK_INTERVAL_SECONDS)


def _on_change(
    previous: RedisServerInfo | None, server: RedisServerInfo, expiry: ConnectionExpiry
) -> None:
    if previous is None and server.unsuitable:
        raise LoopFailed(server.unsuitable)
    if previous is not None:
        expiry.expire()
        moved = server.run_id != previous.run_id
        _log.info("redis.server_changed" if moved else "redis.state_changed", role=server.role)
    if server.unsuitable or server.role == "replica":
        _log.warning("redis.check_failed", reason=server.unsuitable or REPLICA)


async def _server_at_address(settings: Settings) -> RedisServerInfo | None:
    """Returns the server to which a new connection leads; None if none responds."""
    try:
        async with drivers.redis_for_address_check(settings) as redis:
            return await read_server_info(redis)
    except (RedisError, OSError):
        return None
