"""What pages of other origins may do with a browser that reaches us: nothing, but for the allowed ones.

No request is authenticated by a cookie, but a browser may stand where others do not reach: in front of a
Tandem on the developer's own machine, or inside a company's network.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from api.auth.web_origin import is_allowed, is_own
from api.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import Scope

PREFLIGHT: Final = frozenset(
    {
        b"graphql-preflight",
        b"graphql-require-preflight",
        b"apollo-require-preflight",
        b"x-apollo-operation-name",
        b"x-requested-with",
    }
)
"""A page of another origin cannot send one of these unless our answer to a preflight lets it."""

_SIGNS: Final = frozenset({b"origin", b"referer", b"cookie"})
"""What a browser sends, and what other clients have no reason to send. Sec-Fetch-* is one too."""

_OF_NODE: Final = (b"sec-fetch-mode", b"cors")
"""But for this one, which node's fetch sends alone. What a page asks of another origin in this mode has
Origin too, whatever the page does about it: the Fetch standard puts it there."""

_SAME: Final = frozenset({b"same-origin", b"none"})

_HERE: Final = re.compile(rb"(?:localhost|[0-9.]+|\[[0-9a-f:.]+\])(?::[0-9]+)?", re.IGNORECASE)

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})

_PROXIED: Final = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via"}
)
"""What proxies add."""

Headers = dict[bytes, bytes]
"""Values by lower-case names; made by `combined`."""


def combined(lines: Collection[tuple[bytes, bytes]]) -> Headers:
    """Returns the headers by name, the values of a repeated one joined by commas (RFC 9110, section 5.3).

    A check that compares the whole value therefore fails if there are two.
    """
    headers = dict(lines)
    if len(headers) == len(lines):
        return headers
    return {name: b", ".join(value for other, value in lines if other == name) for name in headers}


def forces_preflight(content_type: bytes) -> bool:
    """Whether a page of another origin can send this Content-Type only after a preflight.

    Browsers differ on values that are no media type, or several, so that one application/json alone is sure.
    """
    media, _, _ = content_type.partition(b";")
    return media.strip(b" \t").lower() == b"application/json" and b"," not in content_type


def names_this_machine(headers: Headers) -> bool:
    """Whether the client asked for localhost or for an address.

    A page may come from a name that its owner lets stand for 127.0.0.1 a moment later (DNS rebinding);
    to the browser we are of the page's own origin then.
    """
    return _is_local(headers.get(b"host", b"localhost"))


@lru_cache(maxsize=64)
def _is_local(host: bytes) -> bool:
    return _HERE.fullmatch(host) is not None


def is_from_here(scope: Scope) -> bool:
    """Whether a client on this machine asked for this machine, and no proxy asks for somebody else."""
    headers = combined(scope["headers"])
    host, _ = scope.get("client") or ("", 0)
    return host in _LOOPBACK and names_this_machine(headers) and _PROXIED.isdisjoint(headers)


def check_get(headers: Headers, allowed: Collection[str] = ()) -> None:
    """Raises FORBIDDEN for a GET that a page of another origin may have caused without a preflight.

    A request without any sign of a browser passes. Browsers since 2023 send Sec-Fetch-Site always, where
    TLS or this machine is asked; what an older one could be made to send is a query whose answer the page
    cannot read, because a GET carries out no mutation and no cookie lets anybody in.
    """
    if not _is_trusted_get(headers, allowed):
        raise forbidden(
            "A GET of another site's page needs the header graphql-preflight: 1;"
            " or send a POST with application/json."
        )


def may_open_socket(headers: Headers, allowed: Collection[str] = ()) -> bool:
    """Whether a WebSocket is asked for by no page, by one of ours, or by one of an allowed origin."""
    if b"origin" not in headers:
        return True
    host = headers.get(b"host", b"").decode("latin-1")
    return is_own(_origin(headers), host) or is_allowed(_origin(headers), allowed)


def forbidden(message: str) -> RequestError:
    error = {"message": message, "extensions": {"code": "FORBIDDEN"}}
    return RequestError([error], status=403, well_formed=False)


def _is_trusted_get(headers: Headers, allowed: Collection[str]) -> bool:
    """Whether the page is allowed, sent a preflight, or is ours; or there is no sign of a page."""
    if is_allowed(_origin(headers), allowed) or not PREFLIGHT.isdisjoint(headers):
        return True
    site = headers.get(b"sec-fetch-site")
    if site in _SAME or forces_preflight(headers.get(b"content-type", b"")):
        return True
    return _SIGNS.isdisjoint(headers) and not any(
        header[0].startswith(b"sec-fetch-") and header != _OF_NODE for header in headers.items()
    )


def _origin(headers: Headers) -> str:
    return headers.get(b"origin", b"").decode("latin-1")
