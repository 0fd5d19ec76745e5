"""Thousands of subscriptions that come and go, over WebSocket and as event streams, leave nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from api.limits import Limits
from tests.api.in_memory_app import ALICE, Edge, edge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

WATCH = f'subscription {{ userChanged(id: "{ALICE}") {{ version }} }}'
CYCLES = 3_000
WARM = 500
ROOMY = Limits(subscriptions=50)  # as many as run at once: a seat that is not given back is missed


def memory() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def leaves_nothing(made: Edge, cycle: Callable[[], Awaitable[None]]) -> None:
    tracemalloc.start()  # before the warm-up: what it replaces would be counted as new otherwise
    try:
        for _ in range(WARM):
            await cycle()
        tasks = len(asyncio.all_tasks())
        before = memory()
        for _ in range(CYCLES - WARM):
            await cycle()
        grown = memory() - before
    finally:
        tracemalloc.stop()
    assert made.reads.listeners == set()
    assert len(asyncio.all_tasks()) == tasks
    assert grown < CYCLES * 10, "more than 10 bytes were left by each cycle"


class Client:
    """An ASGI server's side of one connection, without the network between."""

    def __init__(self, made: Edge, scope: dict[str, Any]) -> None:
        self.coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        headers: list[tuple[bytes, bytes]] = []
        whole = {"path": "/graphql", "query_string": b"", "headers": headers, "app": None, **scope}
        app: Any = made.app
        self.task = asyncio.create_task(app(whole, self.coming.get, self.sent.put))

    def tell(self, **message: Any) -> None:
        self.coming.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    async def heard(self) -> Any:
        return json.loads((await self.sent.get())["text"])


@asynccontextmanager
async def websocket(made: Edge) -> AsyncIterator[Client]:
    client = Client(made, {"type": "websocket", "subprotocols": ["graphql-transport-ws"]})
    client.coming.put_nowait({"type": "websocket.connect"})
    client.tell(type="connection_init")
    await client.sent.get()  # accepted
    assert await client.heard() == {"type": "connection_ack"}
    yield client
    client.coming.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await client.task


async def test_subscriptions_over_websocket_leave_no_tasks() -> None:
    async with edge(ROOMY) as made, websocket(made) as client:
        made.reads.put(ALICE, "Alice")

        async def cycle() -> None:
            client.tell(type="subscribe", id="1", payload={"query": WATCH})
            assert (await client.heard())["type"] == "next"
            client.tell(type="complete", id="1")
            for _ in range(100):
                if not made.reads.listeners:
                    break
                await asyncio.sleep(0)

        await leaves_nothing(made, cycle)


async def test_websocket_clients_that_disconnect_leave_no_tasks() -> None:
    async with edge(ROOMY) as made:
        made.reads.put(ALICE, "Alice")

        async def cycle() -> None:
            async with websocket(made) as client:
                client.tell(type="subscribe", id="1", payload={"query": WATCH})
                assert (await client.heard())["type"] == "next"

        for _ in range(200):
            await cycle()
        assert made.reads.listeners == set()


@pytest.mark.parametrize(
    ("accept", "parts"),
    [
        (b"text/event-stream", [b"event: next"]),
        (b"multipart/mixed;subscriptionSpec=1.0", [b"--graphql", b"payload"]),
    ],
)
async def test_event_streams_leave_no_tasks_or_subscriptions(
    accept: bytes, parts: list[bytes]
) -> None:
    body = json.dumps({"query": WATCH}).encode()
    headers = [(b"content-type", b"application/json"), (b"accept", accept)]
    async with edge(ROOMY) as made:
        made.reads.put(ALICE, "Alice")

        async def cycle() -> None:
            client = Client(made, {"type": "http", "method": "POST", "headers": headers})
            client.coming.put_nowait({"type": "http.request", "body": body})
            assert (await client.sent.get())["status"] == 200
            for part in parts:
                while not (body_sent := (await client.sent.get())["body"]):
                    pass
                assert part in body_sent
            client.coming.put_nowait({"type": "http.disconnect"})
            await client.task

        await leaves_nothing(made, cycle)
