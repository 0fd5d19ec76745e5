"""Refuses requests that pages of other origins send through a browser, except for allowed origins.

No request is authenticated by a cookie, but a browser may reach what the author of a page cannot: a Tandem on
the developer's own machine, or in a company's network.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

from starlette.types import Scope

from api.auth.web_origin import is_allowed, is_own
from api.errors import RequestError, formatted

PREFLIGHT: Final = frozenset(
    {
        b"graphql-preflight",
        b"graphql-require-preflight",
        b"apollo-require-preflight",
        b"x-apollo-operation-name",
        b"x-requested-with",
    }
)
"""A page of another origin can send one of these only after a successful preflight."""

_BROWSER_HEADERS: Final = frozenset({b"origin", b"referer", b"cookie"})
"""Headers that browsers send and other clients have no reason to send, besides Sec-Fetch-*."""

_NODE_FETCH_HEADER: Final = (b"sec-fetch-mode", b"cors")
"""An exception: node's fetch sends it alone. A request of a page to another origin in this mode always has
Origin too (Fetch standard)."""

_SAME_SITE: Final = frozenset({b"same-origin", b"none"})

_LOCAL_HOST: Final = re.compile(
    rb"(?:localhost|[0-9.]+|\[[0-9a-f:.]+\])(?::[0-9]+)?", re.IGNORECASE
)

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})

_PROXY_HEADERS: Final = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via"}
)
"""Headers that proxies add."""

Headers = dict[bytes, bytes]
"""Values by names in lower case; the result of `combine_headers`."""


def combine_headers(fields: Collection[tuple[bytes, bytes]]) -> Headers:
    """Returns the headers by name, the values of a repeated one joined by commas (RFC 9110, section 5.3).

    So a check that compares the whole value fails for a repeated header.
    """
    headers = dict(fields)
    if len(headers) == len(fields):
        return headers
    return {name: b", ".join(value for other, value in fields if other == name) for name in headers}


def forces_preflight(content_type: bytes) -> bool:
    """Returns True if a page of another origin can send this Content-Type only after a preflight.

    Browsers differ on malformed and repeated media types, so only a single application/json counts.
    """
    media, _, _ = content_type.partition(b";")
    return media.strip(b" \t").lower() == b"application/json" and b"," not in content_type


def has_local_host(headers: Headers) -> bool:
    """Returns True if Host is localhost or an IP address.

    The name of a page may resolve to 127.0.0.1 a moment later (DNS rebinding); for the browser this service
    then has the same origin as the page.
    """
    return _is_local(headers.get(b"host", b"localhost"))


@lru_cache(maxsize=64)
def _is_local(host: bytes) -> bool:
    return _LOCAL_HOST.fullmatch(host) is not None


def is_local_client(scope: Scope) -> bool:
    """Returns True for a request from this machine to this machine, without a proxy in between."""
    headers = combine_headers(scope["headers"])
    host, _ = scope.get("client") or ("", 0)
    return host in _LOOPBACK and has_local_host(headers) and _PROXY_HEADERS.isdisjoint(headers)


def check_get(headers: Headers, allowed: Collection[str]) -> None:
    """Raises FORBIDDEN for a GET that a page of another origin may have sent without a preflight.

    A request without browser headers passes. Since 2023 browsers always send Sec-Fetch-Site over TLS and to
    this machine. From an older browser a page could send a query, but not read its response; a GET executes
    no mutation, and no cookie authenticates it.
    """
    if not _is_trusted_get(headers, allowed):
        raise forbidden(
            "A GET from a page of another site needs the header graphql-preflight: 1;"
            " or send a POST with application/json."
        )


def opens_from_allowed_page(headers: Headers, allowed: Collection[str]) -> bool:
    """Returns True for a handshake of no page, or of a page of the same or an allowed origin."""
    if b"origin" not in headers:
        return True
    host = headers.get(b"host", b"").decode("latin-1")
    return is_own(_origin(headers), host) or is_allowed(_origin(headers), allowed)


def forbidden(message: str) -> RequestError:
    return RequestError([formatted("FORBIDDEN", message)], status=403, well_formed=False)


def _is_trusted_get(headers: Headers, allowed: Collection[str]) -> bool:
    """Returns True for a request of no page, of the same or an allowed origin, or after a preflight."""
    if is_allowed(_origin(headers), allowed) or not PREFLIGHT.isdisjoint(headers):
        return True
    site = headers.get(b"sec-fetch-site")
    if site in _SAME_SITE or forces_preflight(headers.get(b"content-type", b"")):
        return True
    return _BROWSER_HEADERS.isdisjoint(headers) and not any(
        header[0].startswith(b"sec-fetch-") and header != _NODE_FETCH_HEADER
        for header in headers.items()
    )


def _origin(headers: Headers) -> str:
    return headers.get(b"origin", b"").decode("latin-1")
