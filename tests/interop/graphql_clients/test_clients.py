"""graphql-ws and graphql-sse, the clients that most pages use, against a service that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.interop.graphql_clients.conftest import Serve
    from tests.interop.graphql_clients.node import Node


@pytest.mark.parametrize("package", ["graphql-ws", "graphql-sse"])
async def test_a_client_mutates_and_queries_and_is_told_every_change_to_the_end(
    node: Node, serve: Serve, package: str
) -> None:
    async with serve() as address:
        said = await node.tell("client.mjs", package, address)
    user = said["created"]["data"]["createUser"]
    assert user["version"] == 1
    assert said["found"] == {"data": {"user": {"name": "Alice", "version": 1}}}
    assert said["refused"]["data"] == {"createUser": None}
    [refusal] = said["refused"]["errors"]
    assert refusal["extensions"]["code"] == "EMAIL_ALREADY_REGISTERED"
    assert said["invalid"] == ["GRAPHQL_VALIDATION_FAILED"]
    assert said["told"] == [
        {"name": "Alice", "version": 1},
        {"name": "Alice 1", "version": 2},
        {"name": "Alice 2", "version": 3},
        {"name": "Alice 3", "version": 4},
    ]
