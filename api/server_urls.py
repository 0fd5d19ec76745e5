"""Addresses of servers (URLs): whether their parts can be told apart, and how they are printed.

The drivers take user and password from before the last @ of the authority, which ends at the first slash,
question mark or number sign. So a password with one of these is cut there, and its rest would pass for a
host, a database or a parameter: such an address is refused by the settings, and nothing of it is printed.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_plus, urlsplit

LAST_PORT = 65_535

UNREADABLE = "its host or its port cannot be read; in a password write / as %2F, ? as %3F, # as %23, @ as %40"
"""What is wrong with an address that is not readable. Quotes nothing: a port may be a part of a password."""

_HIDDEN = "***"

_HOST = re.compile(r"(\[[^]]*\]|[^]:[]*)(:(?P<port>\d{0,5}))?", re.ASCII)

_AUTHORITY = re.compile(r"[^/?#]*")

_SECRET = re.compile(r"passw|secret|token|credential", re.IGNORECASE)
"""What the name of a parameter holds whose value is not printed."""

_WITHIN = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"]+", re.IGNORECASE)


class _Parts(NamedTuple):
    authority: str
    path: str
    query: str
    fragment: str


def is_readable(url: str) -> bool:
    """Returns whether hosts and ports of an address can be read, and none of its parts is a cut password."""
    try:
        _, _, hosts = urlsplit(url).netloc.rpartition("@")
    except ValueError:  # brackets, or characters that look like the delimiters
        return False
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    parts = _parts(url.partition("://")[2])
    return all(host and int(host["port"] or 0) <= LAST_PORT for host in found) and not (
        _is_cut(parts) or parts.fragment or any(map(_is_bare, _pieces(parts.query)))
    )


def redacted(url: str) -> str:
    """Returns an address with three asterisks for each secret. Any other text is returned as it is."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    parts = _parts(rest)
    if _is_cut(parts):
        return f"{scheme}://{_HIDDEN}"
    userinfo, _, host = parts.authority.rpartition("@")
    shown = "&".join(map(_parameter, _pieces(parts.query)))
    query = parts.query and f"?{shown}"
    fragment = parts.fragment and f"#{_HIDDEN}"
    return f"{scheme}://{_user(scheme, userinfo)}{host}{parts.path}{query}{fragment}"


def first_line(text: str) -> str:
    """Returns the first line of what a library says, its addresses redacted."""
    return _WITHIN.sub(lambda found: redacted(found[0]), text.partition("\n")[0])


def reason(error: BaseException) -> str:
    """Returns the first line of an error of a driver, or else its type; addresses in it are redacted."""
    return first_line(str(error)) or type(error).__name__


def _parts(rest: str) -> _Parts:
    """Splits what follows the scheme as drivers do, but leaves every character as it is."""
    authority = rest[: _AUTHORITY.match(rest).end()]  # type: ignore[union-attr]
    before, _, fragment = rest[len(authority) :].partition("#")
    path, _, query = before.partition("?")
    return _Parts(authority, path, query, fragment)


def _is_cut(parts: _Parts) -> bool:
    """Returns whether the authority may have ended within a password."""
    authority, path, query, fragment = parts
    if not authority or ":" not in authority + path + query + fragment:
        return False
    without_path = "@" not in authority and not path and "@" in query
    return (
        "@" in path + fragment
        or without_path
        or any(_is_bare(piece) and "@" in piece for piece in _pieces(query))
    )


def _pieces(query: str) -> list[str]:
    return query.split("&") if query else []


def _is_bare(piece: str) -> bool:
    return "=" not in piece


def _user(scheme: str, userinfo: str) -> str:
    """Returns the user and an @. PostgreSQL knows users without a password; elsewhere one may be a token."""
    user, colon, _ = userinfo.partition(":")
    if not userinfo:
        return ""
    if colon:
        return f"{user}:{_HIDDEN}@"
    return f"{user}@" if scheme.startswith("postgres") else f"{_HIDDEN}@"


def _parameter(piece: str) -> str:
    """Returns a parameter without its secret; one without a name may be the rest of one."""
    name, _, _ = piece.partition("=")
    if _is_bare(piece):
        return _HIDDEN
    return f"{name}={_HIDDEN}" if _SECRET.search(unquote_plus(name)) else piece
