"""The keys of the issuer of tokens: a JSON Web Key Set (RFC 7517), fetched when needed and kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from api.auth.tokens import UnknownKey

Fetch = Callable[[], Awaitable[bytes]]
"""The key set as JSON. It may raise anything: then the keys we have are kept."""

CACHE_SECONDS: Final = 300.0
"""Seconds after which keys are fetched again, so that one that was withdrawn is no longer accepted."""

MIN_FETCH_INTERVAL_SECONDS: Final = 10.0
"""Seconds between two fetches, at least."""

_MAX_KEYS: Final = 100
"""Keys of a set that are looked at."""

log = structlog.get_logger("tandem.access")


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


_decode = msgspec.json.Decoder(_KeySet).decode


class KeySetClient:
    """Finds keys by their id. One fetch at a time, and at most one every 10 s.

    While a fetch fails, or is under way for a key that is known, the keys of before are used.
    """

    def __init__(self, fetch: Fetch, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._known: dict[str | None, dict[str, Any]] = {}
        self._asked = self._got = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, header: dict[str, Any]) -> PyJWK:
        """The key for a token with this header. Raises UnknownKey."""
        kid = header.get("kid")
        known = self._known.get(kid)
        if known is None or self._clock() - self._got > CACHE_SECONDS:
            self._begin()
        if known is None and self._fetching is not None:
            await asyncio.shield(self._fetching)
            known = self._known.get(kid)
        return self._usable(known, header["alg"])

    async def close(self) -> None:
        """Ends the fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    def _begin(self) -> None:
        if self._fetching is None and self._clock() - self._asked >= MIN_FETCH_INTERVAL_SECONDS:
            self._asked = self._clock()
            self._fetching = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        try:
            self._known = _by_id(_decode(await self._fetch()).keys[:_MAX_KEYS])
            self._got = self._clock()
        except Exception as error:
            log.warning("auth_keys_not_fetched", error=type(error).__name__)
        finally:
            self._fetching = None

    def _usable(self, known: dict[str, Any] | None, algorithm: str) -> PyJWK:
        if known is None and not self._known:
            raise UnknownKey("cannot be checked, because the issuer's keys cannot be fetched now")
        if known is None or known.get("alg", algorithm) != algorithm:
            raise UnknownKey("is signed with a key that is not known")
        try:
            return PyJWK(known, algorithm)
        except PyJWTError:
            raise UnknownKey("is signed with a key of another kind") from None


def _by_id(keys: list[dict[str, Any]]) -> dict[str | None, dict[str, Any]]:
    """Those that check signatures and are public. One that is alone also checks tokens that name none."""
    usable = [key for key in keys if key.get("use", "sig") == "sig" and key.get("kty") != "oct"]
    named: dict[str | None, dict[str, Any]] = {
        key["kid"]: key for key in usable if isinstance(key.get("kid"), str)
    }
    return {**named, None: usable[0]} if len(usable) == 1 else named
