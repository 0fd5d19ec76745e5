"""REDIS_URL of one server, or of a cluster: redis://host:port,host:port/?cluster=true."""

from __future__ import annotations

from typing import Final

from readside.redis_connection.cluster import Node

_MULTI_SERVER_WORDS: Final = ("sentinel", "cluster", "master", "replica")
"""Words in the scheme or an option of a URL for several servers."""

_CLUSTER: Final = "cluster=true"

_DEFAULT_PORT: Final = 6379


def is_cluster(url: str) -> bool:
    """Returns whether the URL has the option of a cluster."""
    return url.startswith(("redis://", "rediss://")) and _CLUSTER in _options(url)


def cluster_nodes(url: str) -> list[Node]:
    """Returns the nodes in the URL of a cluster."""
    nodes = []
    for host in _location(url).partition("/")[0].split(","):
        name, colon, port = host.rpartition(":")
        if not colon or port.endswith("]"):  # an IPv6 address without a port
            name, port = host, ""
        nodes.append(Node(name.strip("[]"), int(port or _DEFAULT_PORT)))
    return nodes


def url_of_node(url: str, node: Node) -> str:
    """Returns the URL of one node of a cluster, with the credentials and the other options."""
    scheme, _, rest = url.partition("://")
    credentials, at, _ = rest.partition("?")[0].rpartition("@")
    host = f"[{node.host}]" if ":" in node.host else node.host
    options = "&".join(option for option in _options(url) if option != _CLUSTER)
    return f"{scheme}://{credentials}{at}{host}:{node.port}/{'?' if options else ''}{options}"


def has_unsupported_servers(url: str) -> bool:
    """Returns whether a URL names several servers that are no cluster. The password is not examined."""
    scheme = url.partition("://")[0]
    if scheme == "unix":
        return _CLUSTER in _options(url)
    hosts, _, database = _location(url).partition("/")
    options = [option for option in _options(url) if option != _CLUSTER]
    if is_cluster(url):
        hosts, database = hosts.replace(",", ""), database.replace("0", "", 1)
        if database:  # a cluster has no other
            return True
    names = (scheme, *(option.partition("=")[0] for option in options))
    return (
        any(separator in hosts for separator in (",", ";", "%2C", " "))
        or (database != "" and not database.isdecimal())  # the name of a primary of a Sentinel
        or any(word in name.lower() for name in names for word in _MULTI_SERVER_WORDS)
    )


def _location(url: str) -> str:
    """Returns the hosts and the path."""
    return url.partition("://")[2].rpartition("@")[2].partition("?")[0]


def _options(url: str) -> list[str]:
    return url.rpartition("@")[2].partition("?")[2].split("&")
