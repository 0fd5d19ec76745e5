"""A request whose head is known goes straight to the application, and nobody can tell it from the answer."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.connections.server import config
from api.connections.straight import Heads
from api.limits import Limits
from api.transport.media import JSON
from api.transport.reply import Reply
from tests.api.edge import ALICE, Edge, Server, edge, running

if TYPE_CHECKING:
    from api.access.door import Access
    from api.connections.http import HTTPConnection

USER = "query($id: ID!) { user(id: $id) { name } }"
CREATE = 'mutation { createUser(input: {name: "A", email: "a@b.example"}) { id } }'
PLAIN = ("content-type: application/json",)


def request(query: str = USER, *headers: str, beginning: str = "POST /graphql HTTP/1.1") -> bytes:
    body = json.dumps({"query": query, "variables": {"id": str(ALICE)}})
    lines = [beginning, "host: tandem", *PLAIN, *headers, f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", body]).encode()


class Line:
    """A connection, and what its server knows."""

    def __init__(self, made: Edge, server: Server, heads: Heads) -> None:
        self.made = made
        self.server = server
        self.heads = heads

    async def __call__(self, *writes: bytes, answers: int = 1) -> list[bytes]:
        """What is answered on a new connection to these writes, one by one."""
        async with self.opened() as (reader, writer):
            for data in writes:
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(0)
            return [await one(reader) for _ in range(answers)]

    @property
    def connections(self) -> Iterable[HTTPConnection]:
        return cast("set[HTTPConnection]", self.server.server_state.connections)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(*self.server.address)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def line(
    limits: Limits | None = None, *, access: Access | None = None, **options: Any
) -> AsyncIterator[Line]:
    async with edge(limits, access=access) as made:
        made.reads.put(ALICE, "Alice")
        configured = config(made.app, log_level="warning", **options)
        async with running(configured) as server:
            yield Line(made, server, configured.heads)  # type: ignore[attr-defined]


async def one(reader: asyncio.StreamReader) -> bytes:
    """The next answer."""
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = [part for part in head.split(b"\r\n") if part.startswith(b"content-length")]
        return head + await reader.readexactly(int(length.split(b":")[1]))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.001)


async def test_the_second_request_of_a_head_goes_straight_and_is_answered_the_same() -> None:
    async with line() as ask, ask.opened() as (reader, writer):
        answers = []
        for _ in range(3):
            writer.write(request())
            answers.append(await one(reader))
        assert b"Alice" in answers[0]
        assert answers[0] == answers[1] == answers[2]
        assert await ask(request()) == answers[:1]  # on another connection, its very first
        assert ask.heads.taken == 3


async def test_a_body_that_is_no_request_is_refused_the_same() -> None:
    good = request()
    bad = good.replace(b'{"query"', b'}"query"')
    async with line() as ask:
        [first] = await ask(bad)
        [second] = await ask(bad)
        assert first == second
        assert first.startswith(b"HTTP/1.1 400")
        assert ask.heads.taken == 1


@pytest.mark.parametrize(
    "asked",
    [
        request(USER, "connection: close"),
        request(USER, "accept: text/event-stream"),
        request(USER, "transfer-encoding: identity"),
        request(USER, beginning="POST /graphql HTTP/1.0"),
        request(USER, beginning="POST /graphql?a=b HTTP/1.1"),
        request(USER, beginning="POST /elsewhere HTTP/1.1"),
        request(USER, beginning="PUT /graphql HTTP/1.1"),
    ],
)
async def test_what_is_not_plain_goes_through_uvicorn_each_time(asked: bytes) -> None:
    async with line() as ask:
        for _ in range(3):
            async with ask.opened() as (reader, writer):
                writer.write(asked)
                writer.write_eof()
                with suppress(ConnectionError):
                    async with asyncio.timeout(5):
                        await reader.read()
        assert ask.heads.taken == 0


async def test_a_client_that_waits_for_100_continue_is_told_so() -> None:
    head, _, body = request(USER, "expect: 100-continue").partition(b"\r\n\r\n")
    async with line() as ask:
        for _ in range(3):
            async with ask.opened() as (reader, writer):
                writer.write(head + b"\r\n\r\n")
                async with asyncio.timeout(5):
                    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
                writer.write(body)
                assert b"Alice" in await one(reader)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 1500), max_size=12), st.integers(1, 6))
def test_it_does_not_matter_in_which_pieces_requests_come(cuts: Sequence[int], many: int) -> None:
    """One behind the other (pipelining), or torn apart anywhere."""

    async def run() -> None:
        async with line() as ask:
            await ask(request())
            expected = await ask(request())
            stream = request() * many
            places = [0, *sorted({cut for cut in cuts if cut < len(stream)}), len(stream)]
            pieces = [stream[a:b] for a, b in pairwise(places)]
            assert await ask(*pieces, answers=many) == expected * many

    asyncio.run(run())


async def test_a_request_under_way_is_not_cut_when_the_server_ends() -> None:
    async with line() as ask:
        await ask(request(CREATE))
        ask.made.store.answers.clear()
        async with ask.opened() as (reader, writer):
            writer.write(request(CREATE))
            await until(lambda: len(ask.made.store.commands) == 2)
            ask.server.should_exit = True
            await until(lambda: all(each.ending for each in ask.connections))
            ask.made.store.answers.set()
            answer = await one(reader)
            assert ask.heads.taken == 1
            assert b"\r\nconnection: close\r\n" in answer
            assert b"createUser" in answer
            assert await reader.read() == b""


async def test_nothing_of_a_connection_that_is_lost_waits_for_the_collector() -> None:
    async with line() as ask:
        gc.collect()
        gc.disable()
        try:
            async with ask.opened() as (reader, writer):
                for _ in range(2):
                    writer.write(request())
                    await one(reader)
                [lost] = map(weakref.ref, ask.connections)
            await until(lambda: lost() is None)
        finally:
            gc.enable()


async def test_a_request_under_way_outlives_the_time_of_an_idle_connection() -> None:
    async with line(timeout_keep_alive=0.05) as ask:
        await ask(request(CREATE))
        async with ask.opened() as (reader, writer):
            writer.write(request(CREATE))
            await one(reader)
            ask.made.store.answers.clear()
            writer.write(request(CREATE))
            await until(lambda: len(ask.made.store.commands) == 3)
            await asyncio.sleep(0.15)  # three times as long as an idle one is kept
            ask.made.store.answers.set()
            assert b"createUser" in await one(reader)
            assert ask.heads.taken == 2
            async with asyncio.timeout(5):
                assert await reader.read() == b""  # and then it is idle


async def test_half_a_head_behind_a_straight_request_is_waited_for_no_longer_than_another() -> None:
    async with line(Limits(request_seconds=0.15)) as ask:
        await ask(request())
        async with ask.opened() as (reader, writer):
            writer.write(request() + request()[:40])
            assert b"Alice" in await one(reader)
            assert (await one(reader)).startswith(b"HTTP/1.1 408")


class Recorder:
    """An application that answers with nothing, and keeps whom it was asked by."""

    def __init__(self) -> None:
        self.state = SimpleNamespace(limits=Limits(), at_once=lambda _: self.answer)
        self.clients: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        await (await self.answer(scope["client"], message["body"])).send(send)

    async def answer(self, client: Any, _: bytes) -> Reply:
        self.clients.append(client)
        return Reply(200, JSON, b"")


@pytest.mark.parametrize(
    ("headers", "client"), [((), None), (("x-forwarded-for: 192.0.2.7",), ("192.0.2.7", 0))]
)
async def test_a_client_is_who_it_was_the_first_time(headers: Sequence[str], client: Any) -> None:
    app = Recorder()
    configured = config(cast("Any", app), log_level="warning")
    async with running(configured) as server:
        for _ in range(2):
            reader, writer = await asyncio.open_connection(*server.address)
            address = writer.get_extra_info("sockname")
            for _ in range(2):
                writer.write(request(USER, *headers))
                await one(reader)
            writer.close()
            await writer.wait_closed()
            assert app.clients[-2:] == [client or address] * 2
    assert configured.heads.taken == 3  # type: ignore[attr-defined]


def test_only_so_many_heads_are_remembered() -> None:
    heads = Heads(lambda _: Recorder().answer)
    for number in range(1_500):
        headers = [(b"x", b"%d" % number), (b"content-length", b"2")]
        heads.keep(b"%d" % number, 2, {"method": "POST", "http_version": "1.1", "headers": headers})
    assert sum(heads.find(b"%d" % number) is not None for number in range(1_500)) == 1_000
    assert heads.find(b"1499") is not None
