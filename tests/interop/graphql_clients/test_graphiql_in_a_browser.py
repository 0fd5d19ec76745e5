"""GraphiQL in a real browser for which no host has an address but this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.interop.graphql_clients.conftest import Serve
    from tests.interop.graphql_clients.node import Node


async def test_a_newcomer_plays_the_tabs_and_the_browser_asks_nobody_else_and_complains_of_nothing(
    chromium: str, node: Node, serve: Serve
) -> None:
    async with serve() as address:
        seen = await node.tell("graphiql.mjs", address, chromium)

    assert seen["created"]["user"]["name"] == "Grace"
    assert seen["read"]["id"] == seen["created"]["id"]
    assert seen["read"]["email"] == "grace@example.com"
    assert [(user["version"], user["orderCount"]) for user in seen["watched"]] == [(1, 0), (2, 1)]
    assert {user["id"] for user in seen["watched"]} == {seen["created"]["id"]}
    assert seen["placed"]["errors"] == []

    policy = seen["headers"]["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["worker-src"] == rules["connect-src"] == "'self'"
    assert set(seen["workers"]) == {"editor", "graphql", "json"}
    assert set(seen["origins"]) == {f"http://{address}", f"ws://{address}"}
    assert seen["complaints"] == []
    assert "Content Security Policy" in seen["forbidden"][0]
