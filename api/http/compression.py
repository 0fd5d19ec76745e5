"""Compresses responses in a content coding that the client accepts (RFC 9110, section 12.5.3).

Bodies of requests are never decompressed, and event streams, WebSockets and pages are never compressed.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from starlette.types import Receive, Scope

from api.auth.csrf import Headers
from api.http.content_negotiation import parse_ranges, weight_of
from api.http.graphql_http import GraphQLOverHTTP, Page
from api.http.response import EncodedResponse
from api.http.result_stream import ResultStream

_GZIP_LEVEL: Final = 5
_ZSTD_LEVEL: Final = 1
"""Levels with most of the effect: the highest ones take ten times as long for a tenth less."""

_GZIP_WINDOW: Final = 31
"""zlib's number for the largest window with the header of gzip."""

_MAX_INLINE_BYTES: Final = 32 * 1024
"""Bytes of a body that is compressed in the event loop, in half a millisecond; others take a thread."""

_MAX_THREADS: Final = 2
"""Larger bodies that are compressed at the same time; one more is sent as it is, so none waits."""


def _gzip(body: bytes) -> bytes:
    return zlib.compress(body, _GZIP_LEVEL, _GZIP_WINDOW)


def zstd_module() -> Any:
    """Returns Zstandard of Python 3.14, or of the package backports.zstd; None without either."""
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return import_module(name)
    except ImportError:
        return None


_ZSTD: Final = zstd_module()

CODINGS: Final[dict[bytes, Callable[[bytes], bytes]]] = {
    **({b"zstd": lambda body: _ZSTD.compress(body, _ZSTD_LEVEL)} if _ZSTD is not None else {}),
    b"gzip": _gzip,
}
"""The functions that compress, by content coding; of two that a client prefers equally, the first is used."""


class CompressedGraphQLOverHTTP(GraphQLOverHTTP):
    """The endpoint for GET and POST, with compressed responses above the bytes of its options."""

    _threads = 0
    """Threads that compress now."""

    async def respond(
        self, scope: Scope, headers: Headers, receive: Receive, body: bytes | None = None
    ) -> EncodedResponse | ResultStream | Page:
        """Executes the request, and compresses its response. Raises Disconnected."""
        response = await super().respond(scope, headers, receive, body)
        if not isinstance(response, EncodedResponse):
            return response
        response = response._replace(vary=(*response.vary, b"accept-encoding"))
        coding, refuses_identity = negotiate_coding(headers.get(b"accept-encoding", b""))
        above = 0 if refuses_identity else self._options.compress_above
        if coding is None or len(response.body) <= above or has_ambient_credentials(headers):
            return response
        compressed = await self._compress(CODINGS[coding], response.body)
        if compressed is None:
            return response
        header = (b"content-encoding", coding)
        return response._replace(body=compressed, extra=(*response.extra, header))

    async def _compress(self, compress: Callable[[bytes], bytes], body: bytes) -> bytes | None:
        """Returns the compressed body; None while too many large bodies are compressed."""
        if len(body) <= _MAX_INLINE_BYTES:
            return compress(body)
        if self._threads >= _MAX_THREADS:
            return None
        self._threads += 1
        try:
            return await asyncio.to_thread(compress, body)
        finally:
            self._threads -= 1


def has_ambient_credentials(headers: Headers) -> bool:
    """Returns True if a browser may have added credentials by itself, as in Cookie, Basic and Negotiate.

    A page of another site could then cause responses, and guess secrets in them by their lengths (BREACH).
    """
    authorization = headers.get(b"authorization", b"bearer ")
    return b"cookie" in headers or not authorization.lower().startswith(b"bearer ")


@lru_cache(maxsize=256)
def negotiate_coding(accept: bytes) -> tuple[bytes | None, bool]:
    """Returns the coding that the client prefers, and True if it accepts no body without a coding.

    The coding is None for a client that prefers `identity`, or accepts none of ours: it gets the body as it
    is. A wildcard means gzip, which every client reads that accepts any coding.
    """
    weights = {
        name.encode("latin-1"): weight_of(parameters) for name, parameters in parse_ranges(accept)
    }
    wildcard = weights.get(b"*")
    if wildcard is not None:
        weights = {b"gzip": wildcard, **weights}
    best = max(CODINGS, key=lambda coding: weights.get(coding, 0.0))
    weight, identity = weights.get(best, 0.0), weights.get(b"identity", 0.0)
    refuses_identity = weights.get(b"identity", wildcard) == 0
    return best if weight > 0 and weight >= identity else None, refuses_identity
