"""Pages of other origins in a real browser: an allowed one sends what it likes, another one has no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.auth.access import Access
from tests.api.in_memory_app import ALICE, edge, served
from tests.processes import HOST, free_port

if TYPE_CHECKING:
    from tests.interop.graphql_clients.node import Node


async def test_a_page_of_an_allowed_origin_sends_any_header_and_reads_the_response(
    chromium: str, node: Node
) -> None:
    port = free_port()
    access = Access(origins=(f"http://{HOST}:{port}",))
    async with edge(access=access) as made, served(made.app) as address:
        seen = await node.tell("origins.mjs", address, chromium, str(port))
    assert seen["traced"] == [
        "cors",
        200,
        f'{{"data":{{"createUser":{{"id":"{ALICE}"}}}}}}',
    ]
    [metadata, *_] = made.store.metadata
    assert metadata["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"


async def test_a_page_of_another_origin_causes_no_read_and_no_command(
    chromium: str, node: Node
) -> None:
    port = free_port()
    access = Access(origins=(f"http://{HOST}:1",))
    async with edge(access=access) as made, served(made.app) as address:
        seen = await node.tell("origins.mjs", address, chromium, str(port))
    assert seen["traced"] == "TypeError: Failed to fetch"
    assert {str(each) for each in seen["typed"]} <= {
        "TypeError: Failed to fetch",
        "['opaque', 0, '']",
    }
    assert (made.store.commands, made.reads.asked) == ([], 0)
