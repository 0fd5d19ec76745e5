"""DATABASE_URL of one server, or of several: postgresql://host:port,host:port/tandem."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_TARGET: Final = "target_session_attrs"

_WRITABLE: Final = ("read-write", "primary", "any")
"""The values of target_session_attrs that the server meets which is used: the one that accepts writes."""


def names_standby(url: str) -> bool:
    """Returns whether the URL has a target_session_attrs that another server than the primary must meet."""
    return dict(parse_qsl(urlsplit(url).query)).get(_TARGET, _WRITABLE[0]) not in _WRITABLE


def urls_of_hosts(url: str) -> list[str]:
    """Returns a URL for each host of a URL, in their order; hosts may also be in its parameter `host`."""
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    if hosts:
        netlocs = (f"{credentials}{at}{host}" for host in hosts.split(","))
        return [urlunsplit(parts._replace(netloc=netloc)) for netloc in netlocs]
    options = dict(parse_qsl(parts.query))
    names, ports = (options.get(name, "").split(",") for name in ("host", "port"))
    if len(names) == 1 or len(ports) not in (1, len(names)):
        return [url]
    queries = []
    for host, port in zip(names, ports * len(names), strict=False):
        place = {"host": host, "port": port} if port else {"host": host}
        queries.append(urlencode(options | place))
    return [urlunsplit(parts._replace(query=query)) for query in queries]
