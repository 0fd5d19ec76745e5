"""Where a store listens, as its URL says it, and the same URL for another address."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

Address = str | tuple[str, int]
"""The path of a unix socket, or host and port of TCP."""


def is_postgres(url: str) -> bool:
    return url.startswith("postgres")


def address_of(url: str) -> Address:
    """What to connect to."""
    parts = urlsplit(url)
    if parts.hostname is not None:
        return parts.hostname, parts.port or (5432 if is_postgres(url) else 6379)
    if is_postgres(url):
        return str(Path(dict(parse_qsl(parts.query))["host"]) / postgres_socket(parts.port))
    return unquote(parts.path)


def postgres_socket(port: int | None = None) -> str:
    """The name that PostgreSQL and its clients give to the socket in its directory."""
    return f".s.PGSQL.{port or 5432}"


def at(address: Address, url: str) -> str:
    """The same database, user and options at another address."""
    return _postgres_at(address, url) if is_postgres(url) else _redis_at(address, url)


def _postgres_at(address: Address, url: str) -> str:
    parts = urlsplit(url)
    options = {name: value for name, value in parse_qsl(parts.query) if name != "host"}
    there = ""
    if isinstance(address, str):
        options["host"] = str(Path(address).parent)
    else:
        there = _written(address)
    return _url(parts.scheme, _user(parts.netloc) + there + parts.path, options)


def _redis_at(address: Address, url: str) -> str:
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if parts.hostname is not None and parts.path.strip("/"):
        options["db"] = parts.path.strip("/")
    if isinstance(address, str):
        return _url("unix", _user(parts.netloc) + quote(address), options)
    return _url("redis", _user(parts.netloc) + _written(address), options)


def _user(netloc: str) -> str:
    user, sign, _ = netloc.rpartition("@")
    return user + sign


def _written(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def _url(scheme: str, rest: str, options: dict[str, str]) -> str:
    query = urlencode(options, safe="/")
    return f"{scheme}://{rest}" + (f"?{query}" if query else "")
