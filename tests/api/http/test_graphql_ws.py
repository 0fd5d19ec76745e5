"""The graphql-transport-ws protocol, spoken by a real client to a real server."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from api.limits import Limits
from tests.api.in_memory_app import ALICE, Edge, edge, served
from tests.api.with_limits import with_limits
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROTOCOL = Subprotocol("graphql-transport-ws")
INIT = {"type": "connection_init"}
WATCH = f'subscription {{ userChanged(id: "{ALICE}") {{ name version }} }}'


@asynccontextmanager
async def connected(
    limits: Limits | None = None, *, init: bool = True
) -> AsyncIterator[tuple[Edge, ClientConnection]]:
    async with (
        edge(limits) as made,
        served(made.app) as address,
        connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL]) as socket,
    ):
        if init:
            await tell(socket, INIT)
            assert await heard(socket) == {"type": "connection_ack"}
        yield made, socket


async def tell(socket: ClientConnection, message: object) -> None:
    await socket.send(json.dumps(message))


async def heard(socket: ClientConnection) -> Any:
    async with limited(5):
        frame = await socket.recv()
    assert isinstance(frame, str)
    return json.loads(frame)


async def subscribe(socket: ClientConnection, query: str, id_: str = "1") -> None:
    await tell(socket, {"type": "subscribe", "id": id_, "payload": {"query": query}})


async def closed(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closing:
        await heard(socket)
    assert closing.value.rcvd is not None
    return closing.value.rcvd.code, closing.value.rcvd.reason


async def test_a_query_and_a_mutation_get_a_result_and_complete() -> None:
    async with connected() as (made, socket):
        for query, data in (
            ("{ __typename }", {"__typename": "Query"}),
            (
                'mutation { createUser(input: {name: "A", email: "a@example.com"}) { version } }',
                {"createUser": {"version": 1}},
            ),
        ):
            await subscribe(socket, query)
            assert await heard(socket) == {"type": "next", "id": "1", "payload": {"data": data}}
            assert await heard(socket) == {"type": "complete", "id": "1"}
        assert len(made.store.commands) == 1


async def test_a_subscription_sends_the_present_state_and_then_each_change() -> None:
    async with connected() as (made, socket):
        made.reads.put(ALICE, "Alice", version=1)
        await subscribe(socket, WATCH)
        for version, name in ((1, "Alice"), (2, "Bob"), (3, "Carol")):
            made.reads.put(ALICE, name, version=version)
            user = {"name": name, "version": version}
            told = {"type": "next", "id": "1", "payload": {"data": {"userChanged": user}}}
            assert await heard(socket) == told


async def test_complete_ends_a_subscription_and_frees_its_id() -> None:
    async with connected() as (made, socket):
        made.reads.put(ALICE, "Alice")
        await subscribe(socket, WATCH)
        await heard(socket)
        await tell(socket, {"type": "complete", "id": "1"})
        await subscribe(socket, "{ __typename }")
        assert (await heard(socket))["payload"] == {"data": {"__typename": "Query"}}
        assert made.reads.listeners == set()


async def test_a_client_that_disconnects_leaves_no_state() -> None:
    async with edge() as made, served(made.app) as address:
        made.reads.put(ALICE, "Alice")
        before = asyncio.all_tasks()
        async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL]) as socket:
            await tell(socket, INIT)
            await heard(socket)
            for number in range(20):
                await subscribe(socket, WATCH, id_=str(number))
                await heard(socket)
            assert len(made.reads.listeners) == 20
        left = asyncio.all_tasks() - before
        async with limited(5):
            await asyncio.gather(*left, return_exceptions=True)
        assert made.reads.listeners == set()


async def test_a_request_that_gets_no_data_is_an_error_message() -> None:
    async with connected() as (_, socket):
        for query, code in (
            ("{", "GRAPHQL_PARSE_FAILED"),
            ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
            ("query A { a: __typename } query B { a: __typename }", "OPERATION_RESOLUTION_FAILURE"),
            ("query($n: Int!) { users(first: $n) { totalCount } }", "BAD_USER_INPUT"),
            ('subscription { userChanged(id: "x") { id } }', "BAD_USER_INPUT"),
        ):
            await subscribe(socket, query)
            message = await heard(socket)
            assert (message["type"], message["id"]) == ("error", "1")
            assert [error["extensions"]["code"] for error in message["payload"]] == [code]


async def test_a_subscription_whose_source_fails_ends_with_a_masked_error() -> None:
    async with connected() as (made, socket):
        made.reads.put(ALICE, "Alice")
        await subscribe(socket, WATCH)
        await heard(socket)
        made.reads.failure = RuntimeError("alice@example.com")
        with capture_logs() as logs:
            made.reads.put(ALICE, "Alice", version=2)
            message = await heard(socket)
        [error] = message["payload"]
        assert message["type"] == "error"
        assert error["extensions"] == {"code": "INTERNAL", "errorId": logs[0]["error_id"]}
        assert "alice" not in str((message, logs))


async def test_a_ping_gets_a_pong_before_and_after_the_initialisation() -> None:
    async with connected(init=False) as (_, socket):
        await tell(socket, {"type": "ping"})
        assert await heard(socket) == {"type": "pong"}
        await tell(socket, INIT)
        await heard(socket)
        await tell(socket, {"type": "pong"})
        await tell(socket, {"type": "ping", "payload": {"n": 1}})
        assert await heard(socket) == {"type": "pong", "payload": {"n": 1}}


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "1",
        "null",
        "[]",
        "{}",
        "{",
        '{"type": 1}',
        '{"type": "start", "id": "1", "payload": {"query": "{ __typename }"}}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{ __typename }"}}',
        '{"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{a}", "variables": []}}',
        '{"type": "complete"}',
        '{"type": "ping", "payload": 1}',
        '{"type": "connection_init", "payload": []}',
        '{"type": "connection_ack"}',
        '{"type": "ping", "payload": {"a": NaN}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "\\ud800"}}',
        "[" * 10_000,
        b'{"type": "ping"}',
        b"\xff",
    ],
)
async def test_a_malformed_frame_closes_with_4400(frame: str | bytes) -> None:
    async with connected() as (_, socket):
        await socket.send(frame)
        code, reason = await closed(socket)
        assert code == 4400
        assert reason


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x02{}", 1002),  # not masked
        (b"\xf1\x80....", 1002),  # reserved bits
        (b"\x83\x80....", 1002),  # an opcode that there is not
        (b"\x80\x80....", 1002),  # goes on with what was not begun
        (b"\x09\x80....", 1002),  # a ping in parts
        (b"\x89\xfe\x00\x80...." + b"." * 128, 1002),  # a ping that is too long
        (b"\x81\x81\0\0\0\0\xff", 1007),  # text that is not UTF-8
    ],
)
async def test_bytes_that_are_no_frame_close_with_the_code_of_rfc_6455(
    frame: bytes, code: int
) -> None:
    async with connected() as (made, socket):
        made.reads.put(ALICE, "Alice")
        await subscribe(socket, WATCH)
        await heard(socket)
        socket.transport.write(frame)
        assert (await closed(socket))[0] == code


async def test_a_client_that_sends_no_pong_is_closed() -> None:
    async with edge(with_limits(ping_seconds=0.1)) as made, served(made.app) as address:
        made.reads.put(ALICE, "Alice")
        async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL]) as socket:
            await tell(socket, INIT)
            await heard(socket)
            await subscribe(socket, WATCH)
            await heard(socket)
            socket.transport.pause_reading()  # so it answers nothing, and is still there
            async with limited(5):
                while made.reads.listeners:
                    await asyncio.sleep(0.01)
            socket.transport.abort()  # it has nothing to say at the end either


async def test_a_frame_that_is_too_big_closes_with_1009() -> None:
    async with connected(Limits(body_bytes=100)) as (_, socket):
        await socket.send(json.dumps({"type": "ping", "payload": {"a": "a" * 100}}))
        assert (await closed(socket))[0] == 1009


async def test_an_operation_before_the_initialisation_closes_with_4401() -> None:
    async with connected(init=False) as (_, socket):
        await subscribe(socket, "{ __typename }")
        assert await closed(socket) == (4401, "Unauthorized")


async def test_no_initialisation_in_time_closes_with_4408() -> None:
    async with connected(with_limits(init_seconds=0.02), init=False) as (_, socket):
        assert await closed(socket) == (4408, "Connection initialisation timeout")


async def test_an_initialised_connection_may_be_silent_for_longer() -> None:
    async with connected(with_limits(init_seconds=0.2)) as (made, socket):
        made.reads.put(ALICE, "Alice")
        await subscribe(socket, WATCH)
        await heard(socket)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await socket.recv()
        made.reads.put(ALICE, "Bob", version=2)
        assert (await heard(socket))["type"] == "next"


async def test_an_id_in_use_closes_with_4409() -> None:
    async with connected() as (made, socket):
        made.reads.put(ALICE, "Alice")
        await subscribe(socket, WATCH)
        await heard(socket)
        await subscribe(socket, WATCH)
        assert (await closed(socket))[0] == 4409
        assert made.reads.listeners == set()


async def test_a_second_initialisation_closes_with_4429() -> None:
    async with connected() as (_, socket):
        await tell(socket, INIT)
        assert await closed(socket) == (4429, "Too many initialisation requests")


@pytest.mark.parametrize("protocols", [None, [Subprotocol("graphql-ws")]])
async def test_another_subprotocol_closes_with_4406(protocols: list[Subprotocol] | None) -> None:
    async with (
        edge() as made,
        served(made.app) as address,
        connect(f"ws://{address}/graphql", subprotocols=protocols) as socket,
    ):
        assert (await closed(socket))[0] == 4406


async def test_a_connection_has_a_limit_of_operations() -> None:
    async with connected(with_limits(operations=2)) as (made, socket):
        made.reads.put(ALICE, "Alice")
        for number in (1, 2):
            await subscribe(socket, WATCH, id_=str(number))
            await heard(socket)
        await subscribe(socket, "{ __typename }", id_="3")
        message = await heard(socket)
        assert (message["type"], message["id"]) == ("error", "3")
        assert message["payload"][0]["extensions"] == {"code": "OVERLOADED"}
