"""Web origins: the scheme, host and port of a page, as the header Origin and ALLOWED_ORIGINS name them."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final, NamedTuple

from api.server_urls import redacted

_ORIGIN: Final = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LAST_PORT: Final = 65_535
_WITHOUT_ORIGIN: Final = ("file:", "data:", "blob:", "about:", "javascript:")

_FORM: Final = "an origin is https://host or https://host:port, in lower case"


class WebOrigin(NamedTuple):
    """An origin (RFC 6454), with the default port of http and https filled in.

    Scheme and host are in lower case. `port` is None for a scheme without a default port.
    """

    scheme: str
    host: str
    port: int | None

    def __str__(self) -> str:
        """Returns the origin as browsers write it, without a default port."""
        text = f"{self.scheme}://{self.host}"
        return text if self.port == _DEFAULT_PORTS.get(self.scheme) else f"{text}:{self.port}"


@lru_cache(maxsize=1024)
def parse(text: str) -> WebOrigin | None:
    """Returns the origin that the text names; None for any other text, such as `null` and `*`."""
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        return None
    scheme, host, port = match.groups()
    number = int(port) if port else _DEFAULT_PORTS.get(scheme)
    return None if number and number > _LAST_PORT else WebOrigin(scheme, host, number)


def is_allowed(origin: str, allowed: Collection[str]) -> bool:
    """Returns True for an allowed origin; either may name the default port or leave it out."""
    page = parse(origin)
    return page is not None and any(page == parse(candidate) for candidate in allowed)


def is_own(origin: str, host: str) -> bool:
    """Returns True for the origin of a page at this Host, whatever the scheme: a proxy may remove TLS."""
    page = parse(origin)
    return (
        page is not None
        and page.scheme in _DEFAULT_PORTS
        and page == parse(f"{page.scheme}://{host}")
    )


def normalised(text: str) -> str:
    """Returns an allowed origin as browsers write it. Raises ValueError with the reason if it is not one."""
    if objection := _objection(text):
        raise ValueError(f"{redacted(text)!r} {objection}; {_FORM}")
    return str(parse(text))


def _objection(text: str) -> str | None:
    if text == "null":
        return (
            "stands for sandboxed frames and local files of any site, so it would allow every site"
        )
    if "*" in text:
        return "would allow pages that are not listed, so list each origin by name"
    if text.startswith(_WITHOUT_ORIGIN):
        return "is no origin, because browsers send null for such pages, which cannot be allowed"
    if "://" not in text:
        return "has no scheme"
    if text != text.lower():
        return "has capital letters"
    if not text.isascii():
        return "is not ASCII, so write the host in Punycode, as browsers do (xn--...)"
    if "@" in text:
        return "has a user name, which browsers never send"
    if any(mark in text.partition("://")[2] for mark in "/?#"):
        return "has a path, a query or a fragment, or ends in a slash, none of which browsers send"
    return "cannot be read as one" if parse(text) is None else None
