"""Rate limit of the cost of each caller's operations, counted in Redis for all processes together."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.errors import RequestError
from readside.redis_functions.keys import TANDEM, Namespace

# The generic cell rate algorithm: the key holds the time at which the caller's debt is paid. The debt may be
# as large as the burst. All in microseconds of the clock of Redis.
_SPEND: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local free = tonumber(redis.call('GET', KEYS[1])) or now
local after = math.max(free, now) + ARGV[1]
local wait = after - now - ARGV[2]
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return 0
"""
_MICROSECONDS_PER_SECOND: Final = 1_000_000

RETRY_SECONDS: Final = 1.0
"""Seconds without rate limits after an error of Redis."""

log = structlog.get_logger("tandem.access")


class RateLimiter:
    """Allows each caller a cost of `per_second`, and of `burst` in one burst after a pause.

    While Redis is unavailable all requests pass: a limit that fails must not become an outage.
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
        self._microseconds_per_cost = _MICROSECONDS_PER_SECOND / per_second
        self._burst_microseconds = math.ceil(burst * self._microseconds_per_cost)
        self._key = namespace.rate_limit
        self._clock = clock
        self._retry_at = float("-inf")

    async def spend(self, rate_key: str, cost: int) -> None:
        """Spends a cost of the allowance with this key. Raises RATE_LIMITED.

        A cost above the burst counts as the burst, because it could never be spent otherwise.
        """
        if self._clock() < self._retry_at:
            return
        debt = max(1, math.ceil(cost * self._microseconds_per_cost))
        burst = self._burst_microseconds
        try:
            wait = await self._redis.eval(_SPEND, 1, self._key(rate_key), min(debt, burst), burst)
        except (RedisError, OSError) as error:  # a timeout is an OSError
            self._retry_at = self._clock() + RETRY_SECONDS
            log.warning("rate_limit.skipped", error=type(error).__name__)
            return
        if wait > 0:
            raise _limited(wait / _MICROSECONDS_PER_SECOND)


def client_network(address: str) -> str:
    """Returns an IPv4 address, or the /64 of an IPv6 address, which is what one customer gets."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False).network_address)


def _limited(seconds: float) -> RequestError:
    wait = math.ceil(seconds * 1000) / 1000
    error = {
        "message": f"Rate limit exceeded; retry in {wait} s.",
        "extensions": {"code": "RATE_LIMITED", "retryAfter": wait},
    }
    header = (b"retry-after", b"%d" % math.ceil(wait))
    return RequestError([error], status=429, header=header)
