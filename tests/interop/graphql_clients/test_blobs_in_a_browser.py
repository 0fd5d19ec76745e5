"""Requests in the body of a request that a page of another origin may send without CORS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.api.wire import create, request, wired
from tests.processes import free_port

if TYPE_CHECKING:
    from tests.interop.graphql_clients.node import Node

TRIES = 60


async def test_a_request_within_a_blob_is_never_executed(chromium: str, node: Node) -> None:
    """Even if its head came before, as a request of its own."""
    async with wired() as ask:
        assert [each.status for each in await ask(request(create("tries-00@example.com")))] == [200]
        ask.edge.store.commands.clear()
        bodies = [request(create(f"tries-{n:02}@example.com")).decode() for n in range(TRIES)]
        address = "{}:{}".format(*ask.server.address)
        await node.tell("blobs.mjs", address, chromium, str(free_port()), json.dumps(bodies))
        assert ask.created == []
        assert ask.server.server_state.total_requests == 1 + TRIES
