"""The same rules over WebSocket: connecting, operations, and the expiry of tokens."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.api.http.test_graphql_ws import PROTOCOL, WATCH, closed, heard, subscribe, tell
from tests.api.in_memory_app import ALICE, Edge, edge, served
from tests.api.tokens import bearer, signed, with_tokens
from tests.limited import limited

NO_TOKEN = (
    'A token is needed: send {"Authorization": "Bearer <token>"} in the payload of connection_init.'
)


@asynccontextmanager
async def opened(
    payload: object = None, **headers: str
) -> AsyncIterator[tuple[Edge, ClientConnection]]:
    """A connection that has sent connection_init."""
    async with (
        edge(access=with_tokens()) as made,
        served(made.app) as host,
        connect(
            f"ws://{host}/graphql", subprotocols=[PROTOCOL], additional_headers=headers
        ) as socket,
    ):
        init = {"type": "connection_init"}
        await tell(socket, init if payload is None else {**init, "payload": payload})
        yield made, socket


async def code(socket: ClientConnection) -> str:
    message = await heard(socket)
    assert message["type"] == "error"
    [error] = message["payload"]
    found: str = error["extensions"]["code"]
    return found


@pytest.mark.parametrize("name", ["authorization", "Authorization"])
async def test_a_token_comes_in_the_payload_of_connection_init(name: str) -> None:
    async with opened({name: f"Bearer {signed()}"}) as (_, socket):
        assert await heard(socket) == {"type": "connection_ack"}
        await subscribe(socket, "{ users { totalCount } }")
        assert (await heard(socket))["payload"] == {"data": {"users": {"totalCount": 0}}}


async def test_a_token_may_come_with_the_handshake() -> None:
    async with opened(**bearer(signed())) as (_, socket):
        assert await heard(socket) == {"type": "connection_ack"}


async def test_the_payload_counts_more_than_the_handshake() -> None:
    async with opened({"authorization": "Bearer garbage"}, **bearer(signed())) as (_, socket):
        assert (await closed(socket))[0] == 4403


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (None, NO_TOKEN),
        ({}, NO_TOKEN),
        ({"token": "abc"}, NO_TOKEN),
        ({"headers": {"Authorization": "Bearer abc"}}, NO_TOKEN),
        ({"authorization": 1}, NO_TOKEN),
        ({"authorization": None}, NO_TOKEN),
        ({"authorization": ["Bearer abc"]}, NO_TOKEN),
        (
            {"Authorization": "Bearer a", "authorization": "Bearer a"},
            "Authorization must come once",
        ),
        ({"authorization": "abc"}, "The token must come as Authorization: Bearer <token>"),
        ({"authorization": ""}, "The token must come as Authorization: Bearer <token>"),
        ({"authorization": "Bearer garbage"}, "The token cannot be read"),
        ({"authorization": f"Bearer {signed(exp=1)}"}, "The token has expired"),
        ({"authorization": f"Bearer {signed(aud='others')}"}, "The token is meant for another"),
        ({"authorization": f"Bearer {'a' * 10_000}"}, "The token must come"),
    ],
)
async def test_without_a_valid_token_the_connection_closes_with_4403(
    payload: Any, reason: str
) -> None:
    async with opened(payload) as (_, socket):
        code, why = await closed(socket)
        assert code == 4403
        assert why.startswith(f"Forbidden: {reason}")


async def test_an_operation_before_the_acknowledgement_closes_with_4401() -> None:
    async with (
        edge(access=with_tokens()) as made,
        served(made.app) as host,
        connect(
            f"ws://{host}/graphql", subprotocols=[PROTOCOL], additional_headers=bearer(signed())
        ) as socket,
    ):
        await subscribe(socket, "{ __typename }")
        assert (await closed(socket))[0] == 4401


async def test_each_operation_needs_its_scope() -> None:
    async with opened({"authorization": f"Bearer {signed(scope='users:write')}"}) as (_, socket):
        await heard(socket)
        await subscribe(socket, WATCH)
        assert await code(socket) == "FORBIDDEN"
        await subscribe(socket, "{ users { totalCount } }")
        [error] = (await heard(socket))["payload"]["errors"]
        assert error["extensions"] == {"code": "FORBIDDEN"}


@pytest.mark.parametrize("query", [WATCH, None])
async def test_a_token_that_expires_closes_the_connection_with_4403(query: str | None) -> None:
    token = signed(exp=int(time.time()) + 2)
    async with opened({"authorization": f"Bearer {token}"}) as (made, socket):
        made.reads.put(ALICE, "Alice")
        await heard(socket)
        if query is not None:
            await subscribe(socket, query)
            assert (await heard(socket))["type"] == "next"
        assert await closed(socket) == (4403, "Forbidden: The token has expired; get another one.")
        assert made.reads.listeners == set()


async def test_an_operation_for_which_the_token_has_expired_closes_the_connection_with_4403(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also if the clock was set forward, so that no timer has expired."""
    async with opened({"authorization": f"Bearer {signed()}"}) as (made, socket):
        await heard(socket)
        monkeypatch.setattr(time, "time", lambda now=time.time: now() + 1_000_000)
        await subscribe(socket, 'mutation { eraseUser(input: {userId: "1"}) { id } }')
        assert (await closed(socket))[0] == 4403
        assert made.store.commands == []


async def test_a_token_that_expires_ends_an_event_stream() -> None:
    async with edge(access=with_tokens()) as made, served(made.app) as host:
        made.reads.put(ALICE, "Alice")
        headers = {"accept": "text/event-stream", **bearer(signed(exp=int(time.time()) + 2))}
        async with limited(5), httpx.AsyncClient() as client:
            body = {"query": WATCH}
            response = await client.post(f"http://{host}/graphql", json=body, headers=headers)
        told = response.text.split("event: ")
        assert '"name":"Alice"' in told[1]
        assert '"code":"UNAUTHENTICATED"' in told[2]
        assert told[3].startswith("complete")
        assert made.reads.listeners == set()
