"""How much each caller may ask for in a while, counted in Redis for all processes together."""

from __future__ import annotations

import ipaddress
import math
import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError

from api.errors import RequestError
from readside.redis_functions.keys import TANDEM, Namespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

# The generic cell rate algorithm: what is kept is the moment at which the caller owes nothing any more.
# A caller may owe as much as `burst` is worth. All in microseconds of Redis's own clock.
_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local free = tonumber(redis.call('GET', KEYS[1])) or now
local after = math.max(free, now) + ARGV[1]
local wait = after - now - ARGV[2]
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return 0
"""
_SECOND: Final = 1_000_000

REDIS_UNAVAILABLE: Final = 1.0
"""Seconds for which Redis is not asked again after it did not answer."""

log = structlog.get_logger("tandem.access")


class RateLimiter:
    """Lets every caller spend `per_second`, and `burst` at once if it has spent nothing for a while.

    While Redis is away everybody is let through: a limit that fails must not become an outage.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        per_second: float,
        burst: float,
        namespace: Namespace = TANDEM,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis: Any = redis
        self._price = _SECOND / per_second
        self._most = math.ceil(burst * self._price)
        self._key = namespace.rate_limit
        self._clock = clock
        self._again = float("-inf")

    async def take(self, who: str, cost: int) -> None:
        """Spends so much of the caller's allowance. Raises RATE_LIMITED.

        What costs more than the burst waits for all of it, for it could never be had otherwise.
        """
        if self._clock() < self._again:
            return
        spent = min(max(1, math.ceil(cost * self._price)), self._most)
        try:
            wait = await self._redis.eval(_TAKE, 1, self._key(who), spent, self._most)
        except (RedisError, OSError) as error:  # a timeout is an OSError
            self._again = self._clock() + REDIS_UNAVAILABLE
            log.warning("rate_not_limited", error=type(error).__name__)
            return
        if wait > 0:
            raise _limited(wait / _SECOND)


def client_network(address: str) -> str:
    """Who an address stands for: itself, or its /64, which is what one customer gets in IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), 64), strict=False).network_address)


def _limited(seconds: float) -> RequestError:
    wait = math.ceil(seconds * 1000) / 1000
    error = {
        "message": f"You have asked for too much in a short time; wait {wait} seconds.",
        "extensions": {"code": "RATE_LIMITED", "retryAfter": wait},
    }
    header = (b"retry-after", b"%d" % math.ceil(wait))
    return RequestError([error], status=429, header=header)
