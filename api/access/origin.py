"""What pages of other origins may do with a browser that reaches us: nothing, but for the allowed ones.

No request is authenticated by a cookie, but a browser may stand where others do not reach: in front of a
Tandem on the developer's own machine, or inside a company's network.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

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

_SIMPLE: Final = frozenset(
    {b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"}
)
"""The media types of bodies that a page may send anywhere without a preflight."""

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


def names_this_machine(headers: Headers) -> bool:
    """Whether the client asked for localhost or for an address.

    A page may come from a name that its owner lets stand for 127.0.0.1 a moment later (DNS rebinding);
    to the browser we are of the page's own origin then.
    """
    return _HERE.fullmatch(headers.get(b"host", b"localhost")) is not None


def is_from_here(scope: Scope) -> bool:
    """Whether a client on this machine asked for this machine, and no proxy asks for somebody else."""
    headers: Headers = dict(scope["headers"])
    host, _ = scope.get("client") or ("", 0)
    return host in _LOOPBACK and names_this_machine(headers) and _PROXIED.isdisjoint(headers)


def check_get(headers: Headers, allowed: Collection[str] = ()) -> None:
    """Raises FORBIDDEN for a GET that a page of another origin may have caused without a preflight.

    A request without any sign of a browser passes. Browsers since 2023 send Sec-Fetch-Site always, where
    TLS or this machine is asked; what an older one could be made to send is a query whose answer the page
    cannot read, because a GET carries out no mutation and no cookie lets anybody in.
    """
    if PREFLIGHT.isdisjoint(headers) and not _from_here(headers, allowed):
        raise forbidden(
            "A GET of another site's page needs the header graphql-preflight: 1;"
            " or send a POST with application/json."
        )


def may_open_socket(headers: Headers, allowed: Collection[str] = ()) -> bool:
    """Whether a WebSocket is asked for by no page, by one of ours, or by one of an allowed origin."""
    origin = headers.get(b"origin")
    return origin is None or _is_own(origin, headers) or origin.decode("latin-1") in allowed


def forbidden(message: str) -> RequestError:
    error = {"message": message, "extensions": {"code": "FORBIDDEN"}}
    return RequestError([error], status=403, well_formed=False)


def _from_here(headers: Headers, allowed: Collection[str]) -> bool:
    if headers.get(b"origin", b"").decode("latin-1") in allowed:
        return True
    media = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if media and media not in _SIMPLE:
        return True
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site in _SAME
    return _SIGNS.isdisjoint(headers) and not any(
        header[0].startswith(b"sec-fetch-") and header != _OF_NODE for header in headers.items()
    )


def _is_own(origin: bytes, headers: Headers) -> bool:
    """Whether host and port are those the client asked for. A proxy may have changed the scheme."""
    _, _, host = origin.decode("latin-1").lower().partition("://")
    return bool(host) and host == headers.get(b"host", b"").decode("latin-1").lower()
