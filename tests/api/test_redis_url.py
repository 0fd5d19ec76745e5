"""REDIS_URL of a cluster: its nodes, and the URL of each."""

from __future__ import annotations

import pytest

from api.redis_url import cluster_nodes, is_cluster, url_of_node
from api.settings import Settings
from readside.redis_connection.cluster import Node


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("redis://one:7000,two:7001/?cluster=true", [Node("one", 7000), Node("two", 7001)]),
        ("rediss://user:p%40@one,two/0?cluster=true", [Node("one", 6379), Node("two", 6379)]),
        ("redis://[::1]:7000,[::2]?cluster=true", [Node("::1", 7000), Node("::2", 6379)]),
    ],
)
def test_the_nodes_of_a_cluster(url: str, nodes: list[Node]) -> None:
    settings = Settings(redis_url=url)
    assert settings.has_cluster
    assert cluster_nodes(url) == nodes


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://one,two/?cluster=true", "redis://three:7/"),
        (
            "rediss://user:p%40@one/0?cluster=true&ssl_ca_certs=/ca",
            "rediss://user:p%40@three:7/?ssl_ca_certs=/ca",
        ),
    ],
)
def test_the_url_of_a_node_has_the_credentials_and_options(url: str, expected: str) -> None:
    assert url_of_node(url, Node("three", 7)) == expected


@pytest.mark.parametrize("url", ["redis://one:6379/0", "unix:///run/valkey.sock?cluster=true"])
def test_other_urls_are_those_of_one_server(url: str) -> None:
    assert not is_cluster(url)
