"""Operations above the limit of concurrency are refused with OVERLOADED before any work."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from websockets.asyncio.client import connect

from api.limits import Limits
from tests.api.http.test_graphql_ws import (
    INIT,
    PROTOCOL,
    WATCH,
    closed,
    connected,
    heard,
    subscribe,
    tell,
)
from tests.api.in_memory_app import ALICE, Edge, edge, served
from tests.api.wire import create, request, until, wired
from tests.api.with_limits import with_limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUERY = f'{{ user(id: "{ALICE}") {{ name }} }}'
MUTATION = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'
RESPONSE = {"accept": "application/graphql-response+json"}
NARROW = Limits(concurrency=2, subscriptions=2)


@asynccontextmanager
async def busy(query: str, limits: Limits = NARROW) -> AsyncIterator[Edge]:
    """Yields an edge that runs two of these operations until the block ends."""
    async with edge(limits) as made:
        made.reads.put(ALICE, "Alice")
        made.store.answers.clear()
        made.reads.unanswered = []
        asking = [asyncio.create_task(made.ask(query)) for _ in range(2)]
        while len(made.reads.unanswered) + len(made.store.commands) < 2:
            await asyncio.sleep(0)
        held, made.reads.unanswered = made.reads.unanswered, None
        yield made
        made.store.answers.set()
        for answer, replies in held:
            answer.set_result(replies)
        for answered in await asyncio.gather(*asking):
            assert "errors" not in answered


def code(response: Any) -> str:
    [error] = response["errors"]
    return str(error["extensions"]["code"])


async def test_an_operation_above_the_limit_is_refused_before_it_is_coerced() -> None:
    query = "query($first: Int!) { users(first: $first) { nodes { id } } }"
    async with busy(QUERY) as made:
        assert code(await made.ask(query, first="many")) == "OVERLOADED"
    async with edge() as made:
        assert code(await made.ask(query, first="many")) == "BAD_USER_INPUT"


async def test_a_query_above_the_limit_is_refused_with_retry_after() -> None:
    async with busy(QUERY) as made:
        response = await made.post(QUERY, headers=RESPONSE)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert code(response.json()) == "OVERLOADED"
        assert "LIMIT_CONCURRENCY" in response.json()["errors"][0]["message"]
        assert (await made.post(QUERY)).status_code == 200  # as every error in application/json


async def test_a_refused_mutation_has_done_nothing() -> None:
    async with busy(MUTATION) as made:
        assert code(await made.ask(MUTATION)) == "OVERLOADED"
        assert len(made.store.commands) == 2


async def test_mutations_that_wait_do_not_keep_queries_out_nor_the_other_way_round() -> None:
    async with busy(MUTATION) as made:
        assert "errors" not in await made.ask(QUERY)
    async with busy(QUERY) as made:
        made.store.answers.set()
        assert "errors" not in await made.ask(MUTATION)


async def test_a_busy_process_still_passes_its_liveness_check() -> None:
    async with busy(QUERY) as made:
        assert (await made.client.get("/livez")).status_code == 200


async def test_seats_are_free_again_afterwards() -> None:
    async with edge(NARROW) as made:
        made.reads.put(ALICE, "Alice")
        for _ in range(5):
            assert "errors" not in await made.ask(QUERY)
            assert "errors" in await made.ask(f'{{ user(id: "{ALICE}", minVersion: 9) {{ id }} }}')


async def test_queries_over_websocket_count_with_those_over_http() -> None:
    async with connected(Limits(concurrency=1)) as (made, socket):
        made.reads.put(ALICE, "Alice")
        made.reads.unanswered = []
        await subscribe(socket, QUERY)
        while not made.reads.unanswered:
            await asyncio.sleep(0)
        assert code(await made.ask(QUERY)) == "OVERLOADED"
        await subscribe(socket, QUERY, id_="2")
        message = await heard(socket)
        assert (message["type"], message["id"]) == ("error", "2")
        assert code({"errors": message["payload"]}) == "OVERLOADED"


async def test_a_process_has_room_for_so_many_subscriptions_however_they_come() -> None:
    async with connected(Limits(subscriptions=1)) as (made, socket):
        made.reads.put(ALICE, "Alice")
        await subscribe(socket, WATCH)
        assert (await heard(socket))["type"] == "next"
        await subscribe(socket, WATCH, id_="2")
        assert code({"errors": (await heard(socket))["payload"]}) == "OVERLOADED"
        stream = await made.post(WATCH, headers={"accept": "text/event-stream"})
        assert '"code":"OVERLOADED"' in stream.text
        await tell(socket, {"type": "complete", "id": "1"})
        await subscribe(socket, WATCH, id_="3")
        assert (await heard(socket))["type"] == "next"


async def test_a_websocket_connection_above_the_limit_is_closed_with_1013() -> None:
    async with edge(with_limits(sockets=1)) as made, served(made.app) as address:
        url = f"ws://{address}/graphql"
        async with (
            connect(url, subprotocols=[PROTOCOL]) as first,
            connect(url, subprotocols=[PROTOCOL]) as second,
        ):
            assert await closed(second) == (1013, "Too many connections")
            await tell(first, INIT)
            assert await heard(first) == {"type": "connection_ack"}
        async with connect(url, subprotocols=[PROTOCOL]) as third:
            await tell(third, INIT)
            assert await heard(third) == {"type": "connection_ack"}


def connections(number: int) -> Limits:
    return Limits(connections=number)


async def test_a_connection_above_the_limit_replaces_the_one_that_is_idle_longest() -> None:
    async with wired(connections(2)) as ask, ask.opened() as first, ask.opened() as second:
        for wire in (second, first):  # the second is idle longer then
            await wire.send(request())
            assert await wire.response() is not None
        async with ask.opened() as third:
            await third.send(request())
            assert (await third.response()) is not None
            assert await second.response() is None
            await first.send(request())
            assert await first.response() is not None


async def test_an_idle_client_that_does_not_read_is_replaced_immediately() -> None:
    async with wired(connections(1)) as ask, ask.opened() as deaf:
        await deaf.send(request())
        assert await deaf.response() is not None
        [connection] = ask.connections
        transport = connection.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        cast("asyncio.Transport", deaf.writer.transport).pause_reading()
        while not transport.get_write_buffer_size():
            transport.write(b" " * 1_024)
        async with ask.opened() as other:
            await other.send(request())
            assert await other.response() is not None
            assert connection not in ask.connections


async def test_a_connection_with_a_request_in_progress_keeps_its_place() -> None:
    async with wired(connections(1)) as ask, ask.opened() as busy:
        ask.edge.store.answers.clear()
        await busy.send(request(create("a@example.com")))
        await until(lambda: bool(ask.edge.store.commands))
        async with ask.opened() as other:
            await other.send(request())
            assert await other.response() is None
        ask.edge.store.answers.set()
        assert await busy.response() is not None


async def test_a_connection_that_has_sent_half_a_head_is_not_idle() -> None:
    async with wired(connections(1)) as ask, ask.opened() as half:
        await half.send(request()[:20])
        await until(lambda: all(not each._is_idle for each in ask.connections))  # noqa: SLF001
        async with ask.opened() as other:
            await other.send(request())
            assert await other.response() is None
        await half.send(request()[20:])
        assert await half.response() is not None
