"""Relay's compiler accepts the schema, and its runtime pages and refetches what it has compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from tests.api.in_memory_app import ALICE, edge, order_id, served
from tests.api.users import put_users
from tests.processes import ROOT

if TYPE_CHECKING:
    from tests.interop.graphql_clients.node import Node

NUMBER = 5


async def test_relay_pages_forward_and_backward_and_refetches_objects_by_id(node: Node) -> None:
    async with edge() as made, served(made.app) as address:
        put_users(made.reads, NUMBER, orders=NUMBER)
        users = [str(UUID(int=(ALICE.int & ~0xFFFF) + index)) for index in reversed(range(NUMBER))]
        orders = [order_id(UUID(users[0]), number) for number in reversed(range(NUMBER))]
        told = await node.tell(
            "relay.mjs", address, str(ROOT / "schema.graphql"), users[0], orders[1]
        )
    assert told == {
        "orders": [orders[:2], orders[:4], orders],
        "users": [users[3:], users[1:], users],
        "nodes": [
            {"__typename": "Order", "id": orders[1], "total": "10.00"},
            None,
            {"__typename": "User", "id": users[0], "name": f"U{NUMBER - 1}"},
        ],
    }
