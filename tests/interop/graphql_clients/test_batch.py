"""Apollo Client's BatchHttpLink: the operations of one moment in one request, each with its own result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.interop.graphql_clients.conftest import Serve
    from tests.interop.graphql_clients.node import Node


async def test_each_operation_of_a_list_gets_its_own_result(node: Node, serve: Serve) -> None:
    async with serve(BATCH_LIMIT="10") as address:
        said = await node.tell("batch.mjs", address)
    assert said["sizes"] == [5]
    users, invalid, created, refused, customers = said["told"]
    assert users == {"users": {"totalCount": 0, "__typename": "UserConnection"}}
    assert invalid == ["GRAPHQL_VALIDATION_FAILED"]
    assert created == {"createUser": {"version": 1, "__typename": "CreateUserPayload"}}
    assert refused == ["INVALID_INPUT"]
    assert customers == {"topCustomers": []}
