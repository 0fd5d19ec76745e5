"""URLs of servers: checks that their parts are unambiguous, and redacts their secrets in any text.

The drivers read user and password before the last @ of the authority, which ends at the first slash, question
mark or number sign. A password with one of these is cut there, and its rest would be read as a host, a
database or a parameter: the settings refuse such a URL, and nothing of it is printed.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus, urlsplit

LAST_PORT = 65_535

UNREADABLE = "its host or its port cannot be read; in a password write / as %2F, ? as %3F, # as %23, @ as %40"
"""The error of a URL that is not readable. Quotes nothing: a port may be a part of a password."""

_HIDDEN = "***"

_HOST = re.compile(r"(\[[^]]*\]|[^]:[]*)(:(?P<port>\d{0,5}))?", re.ASCII)

_AUTHORITY = re.compile(r"[^/?#]*")

_SECRET = re.compile(r"passw|secret|token|credential", re.IGNORECASE)
"""The names of parameters whose values are secrets."""

_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"]+", re.IGNORECASE)


_replacements: dict[str, str] = {}
"""The redacted forms of the registered URLs and of their parts with secrets, in every spelling of them."""


class _Parts(NamedTuple):
    authority: str
    path: str
    query: str
    fragment: str


def is_readable(url: str) -> bool:
    """Returns True if hosts and ports can be read, and no part is the rest of a cut password."""
    try:
        _, _, hosts = urlsplit(url).netloc.rpartition("@")
    except ValueError:  # brackets, or characters that look like the delimiters
        return False
    matches = [_HOST.fullmatch(host) for host in hosts.split(",")]
    parts = _parts(url.partition("://")[2])
    return all(match and int(match["port"] or 0) <= LAST_PORT for match in matches) and not (
        _is_cut(parts) or parts.fragment or any(map(_is_bare, _pieces(parts.query)))
    )


def redacted(url: str) -> str:
    """Returns a URL with three asterisks for each secret. Any other text is returned unchanged."""
    scheme, delimiter, rest = url.partition("://")
    if not delimiter:
        return url
    parts = _parts(rest)
    if _is_cut(parts):
        return f"{scheme}://{_HIDDEN}"
    userinfo, _, host = parts.authority.rpartition("@")
    shown = "&".join(map(_parameter, _pieces(parts.query)))
    query = parts.query and f"?{shown}"
    fragment = parts.fragment and f"#{_HIDDEN}"
    return f"{scheme}://{_user(scheme, userinfo)}{host}{parts.path}{query}{fragment}"


def register(url: str) -> None:
    """Makes `first_line` redact this URL and its parts, also with blanks and quotation marks in them."""
    parts = _parts(url.partition("://")[2])
    userinfo = parts.authority.rpartition("@")[0]
    shown = {url: redacted(url), **{piece: _parameter(piece) for piece in _pieces(parts.query)}}
    if userinfo:
        shown[f"{userinfo}@"] = _user(url, userinfo)
    for part in (part for part in shown if part != shown[part]):
        without_line_ends = re.sub(r"[\t\r\n]", "", part)  # as urlsplit reads it
        for spelling in (part, unquote(part), unquote_plus(part), without_line_ends):
            _replacements[spelling] = _replacements[repr(spelling)[1:-1]] = shown[part]


def first_line(text: str) -> str:
    """Returns the first line of a message of a library, with its URLs redacted."""
    for part, shown in _replacements.items():
        text = text.replace(part, shown)
    return _URL.sub(lambda match: redacted(match[0]), text.partition("\n")[0])


def reason(error: BaseException) -> str:
    """Returns the first line of an error of a driver, or else its type, with its URLs redacted."""
    return first_line(str(error)) or type(error).__name__


def _parts(rest: str) -> _Parts:
    """Splits what follows the scheme as drivers do, but leaves every character as it is."""
    authority = rest[: _AUTHORITY.match(rest).end()]  # type: ignore[union-attr]
    before, _, fragment = rest[len(authority) :].partition("#")
    path, _, query = before.partition("?")
    return _Parts(authority, path, query, fragment)


def _is_cut(parts: _Parts) -> bool:
    """Returns True if the authority may have ended within a password."""
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
    """Returns the redacted user with an @; a user without a password may be a token, except in PostgreSQL."""
    user, colon, _ = userinfo.partition(":")
    if not userinfo:
        return ""
    if colon:
        return f"{user}:{_HIDDEN}@"
    return f"{user}@" if scheme.startswith("postgres") else f"{_HIDDEN}@"


def _parameter(piece: str) -> str:
    """Returns a redacted parameter. One without a name may be the rest of a secret."""
    name, _, _ = piece.partition("=")
    if _is_bare(piece):
        return _HIDDEN
    return f"{name}={_HIDDEN}" if _SECRET.search(unquote_plus(name)) else piece
