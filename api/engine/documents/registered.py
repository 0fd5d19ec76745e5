"""Registered documents: texts that clients send once and then name by hash, kept in Redis for all processes.

Redis may lose them at any time: an unknown hash makes the client send the text again.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError

from api.engine.documents.manifest import hash_of
from api.engine.lru_cache import LRUCache
from api.errors import RequestError
from readside.redis_functions.keys import TANDEM, Namespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

    from api.auth.rate_limit import RateLimiter
    from api.limits import Limits

MAX_BYTES: Final = 16 * 1024
"""Bytes of a text that is registered; a longer one is executed, and has to be sent each time."""

MAX_DOCUMENTS: Final = 1_000
"""Documents of a service in Redis; above, those that were registered first are removed."""

KEEP_SECONDS: Final = 24 * 3600
"""Seconds for which Redis keeps a document."""

REGISTRATIONS_PER_SECOND: Final = 1.0
"""Documents that one caller may register in a second, after a burst."""

REGISTRATION_BURST: Final = 100
"""Documents that one caller may register in a burst."""

AGAIN_SECONDS: Final = 60.0
"""Seconds after which a process stores a text again that a client has sent again: Redis may have lost it."""

RETRY_SECONDS: Final = 1.0
"""Seconds without requests to Redis after an error."""

_HASH: Final = re.compile("[0-9a-f]{64}")

# The index has the keys by the time of their registration. Returns the oldest, which are to be removed: a
# script accesses only the keys that it is called with.
_STORE: Final = """
local time = redis.call('TIME')
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('ZADD', KEYS[2], time[1] * 1000000 + time[2], KEYS[1])
redis.call('EXPIRE', KEYS[2], ARGV[2])
local excess = redis.call('ZCARD', KEYS[2]) - ARGV[3]
if excess > 0 then
  local oldest = redis.call('ZRANGE', KEYS[2], 0, excess - 1)
  redis.call('ZREM', KEYS[2], unpack(oldest))
  return oldest
end
return {}
"""

log = structlog.get_logger("tandem.api")


class RegisteredDocuments:
    """The registered documents of a service. A process requests each from Redis once, and then caches it.

    The cache has the bounds of DocumentCache, so a document that is parsed there is found here.
    """

    def __init__(
        self,
        redis: Redis,
        rate: RateLimiter,
        limits: Limits,
        *,
        namespace: Namespace = TANDEM,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`rate` limits the registrations of each caller."""
        self._redis: Any = redis
        self._rate = rate
        self._prefix = f"{namespace.prefix}:{{documents}}:"
        self._clock = clock
        self._retry_at = float("-inf")
        self._texts: LRUCache[str, str] = LRUCache(
            limits.cached_documents, limits.cached_characters
        )
        self._stored_at: LRUCache[str, float] = LRUCache(limits.cached_documents)

    def cached(self, hash_: str) -> str | None:
        """Returns the text of a hash if this process has it."""
        return self._texts.get(hash_)

    async def find(self, hash_: str) -> str | None:
        """Returns the text of a hash; None if it is not registered, or Redis is unavailable."""
        if (text := self._texts.get(hash_)) is not None:
            return text
        if _HASH.fullmatch(hash_) is None:
            return None
        found = await self._request("GET", self._prefix + hash_)
        if not isinstance(found, str) or hash_of(found) != hash_:
            return None
        self._texts.put(hash_, found, len(found))
        return found

    async def register(self, hash_: str, text: str, rate_key: str) -> None:
        """Stores the text of an admitted operation under its hash, unless a bound or Redis prevents it."""
        self._texts.put(hash_, text, len(text))
        encoded, now, stored_at = text.encode(), self._clock(), self._stored_at.get(hash_)
        is_recent = stored_at is not None and now < stored_at + AGAIN_SECONDS
        if is_recent or len(encoded) > MAX_BYTES:
            return
        try:
            await self._rate.spend(f"documents:{rate_key}", 1)
        except RequestError:
            return  # the operation is executed nevertheless
        keys = self._prefix + hash_, self._prefix + "index"
        excess = await self._request("EVAL", _STORE, 2, *keys, encoded, KEEP_SECONDS, MAX_DOCUMENTS)
        if isinstance(excess, list):
            if excess:
                await self._request("UNLINK", *excess)
            self._stored_at.put(hash_, now)

    async def _request(self, *words: object) -> object:
        """Returns the reply of Redis; None without one, and then makes no request for a while."""
        if self._clock() < self._retry_at:
            return None
        try:
            return await self._redis.execute_command(*words)
        except (RedisError, OSError) as error:  # a timeout is an OSError
            self._retry_at = self._clock() + RETRY_SECONDS
            log.warning("documents.unavailable", error=type(error).__name__)
            return None
