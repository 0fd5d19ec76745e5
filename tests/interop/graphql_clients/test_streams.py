"""Streams to clients of others: Apollo Client over multipart HTTP, a page's EventSource and WebSocket."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from api.auth.access import Access
from api.auth.stream_tokens import StreamTokens
from api.runtime import drivers
from api.settings import Settings
from readside.redis_functions.keys import TANDEM
from tests.api.in_memory_app import ALICE, edge, served
from tests.api.tokens import signed, with_tokens
from tests.api.wire import until
from tests.api.with_limits import with_limits
from tests.processes import HOST, free_port

if TYPE_CHECKING:
    from tests.interop.graphql_clients.node import Node

PATIENCE = 200


async def test_apollo_client_subscribes_over_http_with_nothing_configured(node: Node) -> None:
    async with (
        edge(with_limits(keep_alive_seconds=0.05)) as made,
        served(made.app) as address,
    ):
        made.reads.put(ALICE, "Alice")
        telling = asyncio.create_task(node.tell("apollo.mjs", address, str(ALICE), "4"))
        for version in (2, 3, 4):
            await until(lambda: bool(made.reads.listeners), PATIENCE)
            await asyncio.sleep(0.2)  # some heartbeats
            made.reads.put(ALICE, "Alice", version)
        told = await telling
    assert all("multipart/mixed" in accepted for accepted in told["accepted"])
    assert told["versions"] == [1, 2, 3, 4]
    assert told["invalid"] == [["GRAPHQL_VALIDATION_FAILED"], "complete"]
    assert told["forgotten"] == [["BAD_USER_INPUT"], "complete"]


async def test_graphql_sse_is_refused_in_its_single_connection_mode(node: Node) -> None:
    async with edge() as made, served(made.app) as address:
        refused = await node.tell("single_connection.mjs", address)
    assert (refused["status"], refused["extensions"]) == (405, {"code": "BAD_REQUEST"})
    assert refused["message"].endswith("with graphql-sse, singleConnection is false.")


async def test_an_event_source_of_a_page_resumes_after_its_connection_ended(
    chromium: str, node: Node
) -> None:
    port = free_port()
    async with (
        edge(access=Access(origins=(f"http://{HOST}:{port}",))) as made,
        served(made.app) as address,
    ):
        made.reads.put(ALICE, "Alice")
        words = (address, chromium, str(port), str(ALICE), "4")
        telling = asyncio.create_task(node.tell("streams.mjs", *words))
        await until(lambda: bool(made.reads.listeners) or telling.done(), PATIENCE)
        made.reads.put(ALICE, "Alice", 2)
        await asyncio.sleep(0.5)
        made.app.state.closing.set()  # as if the process ended
        await until(lambda: not made.reads.listeners)
        made.reads.put(ALICE, "Alice", 3)
        made.reads.put(ALICE, "Alice", 4)
        made.app.state.closing.clear()
        seen = await telling
    assert seen == {"events": [[n, str(n)] for n in (1, 2, 3, 4)], "message": 4}


async def test_a_page_opens_its_streams_with_stream_tokens(
    chromium: str, node: Node, redis_url: str
) -> None:
    port = free_port()
    async with drivers.redis_for_functions(Settings(redis_url=redis_url)) as redis:
        access = replace(
            with_tokens(),
            origins=(f"http://{HOST}:{port}",),
            stream_tokens=StreamTokens(redis, TANDEM),
        )
        async with edge(access=access) as made, served(made.app) as address:
            made.reads.put(ALICE, "Alice")
            words = (address, chromium, str(port), str(ALICE), "1", signed())
            seen = await node.tell("streams.mjs", *words)
    assert seen == {"events": [[1, "1"]], "message": 1}
