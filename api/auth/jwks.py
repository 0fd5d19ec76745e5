"""The JSON Web Key Set of the issuer of tokens (RFC 7517), fetched on demand and cached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from api.auth.tokens import InvalidToken

Fetch = Callable[[], Awaitable[bytes]]
"""Returns the key set as JSON. May raise any error: then the cached keys stay."""

CACHE_SECONDS: Final = 300.0
"""Seconds after which keys are fetched again, so that a withdrawn key is no longer accepted."""

MIN_FETCH_INTERVAL_SECONDS: Final = 10.0
"""Minimum seconds between two fetches."""

_MAX_KEYS: Final = 100
"""Keys of a set that are used."""

log = structlog.get_logger("tandem.access")


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


_decode = msgspec.json.Decoder(_KeySet).decode


class KeySetClient:
    """Finds keys by their id. At most one fetch runs at a time, and one every 10 s.

    While a fetch runs or fails, cached keys are used.
    """

    def __init__(self, fetch: Fetch, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str | None, dict[str, Any]] = {}
        self._started_at = self._fetched_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, header: dict[str, Any]) -> PyJWK:
        """Returns the key for a token with this header. Raises InvalidToken."""
        kid = header.get("kid")
        key = self._keys.get(kid)
        if key is None or self._clock() - self._fetched_at > CACHE_SECONDS:
            self._start_fetch()
        if key is None and self._fetching is not None:
            await asyncio.shield(self._fetching)
            key = self._keys.get(kid)
        return self._parse(key, header["alg"])

    async def close(self) -> None:
        """Cancels a running fetch."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    def _start_fetch(self) -> None:
        if (
            self._fetching is None
            and self._clock() - self._started_at >= MIN_FETCH_INTERVAL_SECONDS
        ):
            self._started_at = self._clock()
            self._fetching = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        try:
            self._keys = _by_id(_decode(await self._fetch()).keys[:_MAX_KEYS])
            self._fetched_at = self._clock()
        except Exception as error:
            log.warning("jwks.fetch_failed", error=type(error).__name__)
        finally:
            self._fetching = None

    def _parse(self, key: dict[str, Any] | None, algorithm: str) -> PyJWK:
        if key is None and not self._keys:
            raise InvalidToken("cannot be checked, because the issuer's keys cannot be fetched now")
        if key is None or key.get("alg", algorithm) != algorithm:
            raise InvalidToken("is signed with a key that is not known")
        try:
            return PyJWK(key, algorithm)
        except PyJWTError:
            raise InvalidToken("is signed with a key of another kind") from None


def _by_id(keys: list[dict[str, Any]]) -> dict[str | None, dict[str, Any]]:
    """Returns the public signature keys by id. A single key is also used for tokens that name none."""
    usable = [key for key in keys if key.get("use", "sig") == "sig" and key.get("kty") != "oct"]
    named: dict[str | None, dict[str, Any]] = {
        key["kid"]: key for key in usable if isinstance(key.get("kid"), str)
    }
    return {**named, None: usable[0]} if len(usable) == 1 else named
