"""Stream tokens: what a page puts into the URL of an EventSource or WebSocket, which cannot send headers.

Proxies log URLs, so such a token is opaque, works once, within a minute, for streams only, and allows to read
and nothing else. Redis has its hash and its caller.
"""

from __future__ import annotations

import re
import secrets
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec
from redis.exceptions import RedisError

from api.auth.rate_limit import RateLimiter
from api.auth.scopes import Caller, scopes
from api.auth.tokens import unauthenticated
from api.errors import RequestError, formatted
from readside.errors import ReadModelUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from readside.redis_functions.keys import Namespace

LIFETIME_SECONDS: Final = 60

PER_SECOND: Final = 10.0
"""Stream tokens that one caller may get per second; BURST at once, after a pause."""

BURST: Final = 100.0

_IN_URL: Final = re.compile(rb"(?:^|&)access_token=([^&]*)")
_TOKEN_BYTES: Final = 32


class StreamTokens:
    """Issues stream tokens, and returns the caller of each once."""

    def __init__(self, redis: Redis, namespace: Namespace) -> None:
        """`redis` decodes replies."""
        self._redis: Any = redis
        self._key = namespace.stream_token
        self._rate = RateLimiter(redis, per_second=PER_SECOND, burst=BURST, namespace=namespace)

    async def issue(self, caller: Caller) -> tuple[str, int]:
        """Returns a new token and its lifetime in seconds. Raises RATE_LIMITED or READ_MODEL_UNAVAILABLE."""
        await self._rate.spend(f"stream-token:{caller.rate_key}", 1)
        token, left = secrets.token_urlsafe(_TOKEN_BYTES), caller.seconds_left
        seconds = LIFETIME_SECONDS if left is None else max(1, min(LIFETIME_SECONDS, int(left)))
        subject = caller.subject and caller.subject.encode("utf-8", "replace").decode()
        reader = replace(caller, scopes=caller.scopes.intersection(scopes("read")), subject=subject)
        with _redis_errors():
            await self._redis.set(self._key(_hash(token)), msgspec.json.encode(reader), ex=seconds)
        return token, seconds

    async def redeem(self, token: str) -> Caller:
        """Returns the caller and uses the token up. Raises UNAUTHENTICATED or READ_MODEL_UNAVAILABLE."""
        with _redis_errors():
            found = await self._redis.getdel(self._key(_hash(token)))
        if found is None:
            raise unauthenticated(
                "The stream token is unknown, used or expired; get another one.",
                b'Bearer error="invalid_token"',
            )
        return msgspec.json.decode(found, type=Caller)


def stream_token_of(query_string: bytes) -> str | None:
    """Returns the stream token in a URL, if there is one. Raises UNAUTHENTICATED if there are two."""
    tokens = _IN_URL.findall(query_string)
    if len(tokens) > 1:
        raise unauthenticated("The parameter access_token must come once.")
    return tokens[0].decode("latin-1") if tokens else None


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()


@contextmanager
def _redis_errors() -> Iterator[None]:
    """Raises READ_MODEL_UNAVAILABLE for an error of Redis: no stream token is accepted then."""
    try:
        yield
    except (RedisError, OSError) as error:  # a timeout is an OSError
        refusal = formatted(ReadModelUnavailable.code, ReadModelUnavailable.message)
        raise RequestError([refusal], status=503, well_formed=False) from error
