"""How connections end: the last response reaches its client, and no end is waited for without a limit."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
import urllib.error
import urllib.request
import weakref
from typing import TYPE_CHECKING

import pytest

from api.http.protocols import lingering_close
from api.http.protocols.deadline_timer import Deadline
from api.limits import Limits
from tests.api.in_memory_app import ALICE
from tests.api.wire import JSON, create, head, request, until, wired
from tests.api.with_limits import with_limits
from tests.limited import limited

if TYPE_CHECKING:
    from tests.api.wire import Wired

CREATE = create("a@example.com")
MEGABYTE = b" " * 1024 * 1024
WATCH = f'subscription {{ userChanged(id: "{ALICE}") {{ version }} }}'


async def send_much(ask: Wired, first: bytes, megabytes: int) -> list[int]:
    """The statuses that a client gets which sends all of its body before it reads."""
    async with ask.opened() as wire:
        await wire.send(first)
        for _ in range(megabytes):
            wire.writer.write(MEGABYTE)
            await wire.writer.drain()
        return [each.status for each in await wire.responses()]


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (head(b"POST /graphql HTTP/1.1", JSON, b"content-length: 41943040"), 413),
        (head(b"POST /nope HTTP/1.1", JSON, b"content-length: 41943040"), 404),
        (head(b"POST /graphql HTTP/1.1", JSON, b"content-length: 41943040, 1"), 400),
        (head(b"POST /graphql HTTP/1.1", b"x: " + b"x" * 40_000), 431),
        (
            head(b"POST /graphql HTTP/1.1", JSON, b"transfer-encoding: chunked") + b"2800000\r\n",
            413,
        ),
    ],
)
async def test_a_client_that_sends_40_mb_gets_the_response(first: bytes, status: int) -> None:
    async with wired() as ask:
        for _ in range(3):
            assert await send_much(ask, first, 40) == [status]
        await until(lambda: not ask.connections)


async def test_urllib_gets_a_413() -> None:
    async with wired() as ask:
        url = "http://{}:{}/graphql".format(*ask.server.address)

        def post() -> int:
            asked = urllib.request.Request(url, MEGABYTE * 10, {"content-type": "application/json"})
            try:
                urllib.request.urlopen(asked, timeout=10)
            except urllib.error.HTTPError as error:
                return error.code
            return 200

        assert [await asyncio.to_thread(post) for _ in range(5)] == [413] * 5


async def test_a_connection_lingers_only_so_long_for_a_client_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lingering_close, "SILENCE_SECONDS", 0.05)
    async with wired() as ask, ask.opened() as wire:
        await wire.send(request(CREATE, b"connection: close"))
        assert await wire.response() is not None
        await until(lambda: not ask.connections)


async def test_a_lingering_close_ends_though_the_client_continues_to_send(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lingering_close, "MAX_SECONDS", 0.2)
    async with wired() as ask, ask.opened() as wire:
        await wire.send(head(b"POST /nope HTTP/1.1", b"content-length: 100000"))
        while ask.connections:
            await wire.send(b" ")


async def test_a_connection_lingers_for_longer_than_a_client_may_take_to_read() -> None:
    async with wired(with_limits(send_seconds=0.05)) as ask, ask.opened() as wire:
        await wire.send(head(b"POST /nope HTTP/1.1", b"content-length: 100000"))
        for _ in range(20):
            await wire.send(b" ")
            await asyncio.sleep(0.01)
        assert ask.connections
        found = await wire.response()
        assert found is not None
        assert found.status == 404


async def test_a_connection_lingers_only_for_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering_close, "MAX_BYTES", 1_000_000)
    async with wired() as ask, ask.opened() as wire:
        sent = 0
        await wire.send(head(b"POST /nope HTTP/1.1", b"content-length: 1000000000"))
        while ask.connections:
            await wire.send(MEGABYTE)
            sent += 1
        assert sent < 20


async def test_a_connection_that_was_reset_before_it_lingers_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, ours)
    transport.pause_reading()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()  # as a reset, which a transport that reads nothing does not see
    deadline = Deadline(loop, transport.abort)
    lingering_close.LingeringClose(transport, deadline, loop.time())
    deadline.cancel()
    assert transport.is_closing()


async def test_an_idle_connection_closes_after_its_time_and_a_busy_one_does_not() -> None:
    async with wired(Limits(idle_seconds=0.4)) as ask, ask.opened() as wire:
        await wire.send(request())
        first = await wire.response()
        assert first is not None
        ask.edge.store.answers.clear()
        await wire.send(request(CREATE))
        await asyncio.sleep(0.5)
        ask.edge.store.answers.set()
        assert await wire.response() is not None
        assert await wire.response() is None


async def test_a_thousand_clients_that_disconnect_leave_no_subscription_after_two_heartbeats() -> (
    None
):
    async with wired(with_limits(keep_alive_seconds=5)) as ask:
        body = json.dumps({"query": WATCH}).encode()
        data = head(
            b"POST /graphql HTTP/1.1",
            JSON,
            b"accept: text/event-stream",
            b"content-length: %d" % len(body),
        )
        writers = []
        for _ in range(1_000):
            _, writer = await asyncio.open_connection(*ask.server.address)
            writer.write(data + body)
            writers.append(writer)
        await until(lambda: len(ask.edge.reads.listeners) == 1_000, 30)
        for writer in writers:
            writer.close()
        await until(lambda: not ask.edge.reads.listeners, 30)
        assert not ask.connections


@pytest.mark.parametrize(
    "accept", [b"accept: text/event-stream", b"accept: multipart/mixed;subscriptionSpec=1.0"]
)
async def test_a_half_closed_client_of_a_stream_gets_its_events(accept: bytes) -> None:
    async with wired(with_limits(keep_alive_seconds=0.02)) as ask, ask.opened() as wire:
        await wire.send(request(WATCH, accept))
        await wire.end()
        async with limited(5):
            await wire.reader.readuntil(b'"version":1')
            ask.edge.reads.put(ALICE, "Bob", version=2)
            await wire.reader.readuntil(b'"version":2')


async def test_a_request_in_progress_is_the_last_of_its_connection_when_the_server_ends() -> None:
    async with wired() as ask, ask.opened() as wire:
        ask.edge.store.answers.clear()
        await wire.send(request(CREATE))
        await until(lambda: bool(ask.edge.store.commands))
        ask.server.should_exit = True
        await until(lambda: all(each._is_shutting_down for each in ask.connections))  # noqa: SLF001
        ask.edge.store.answers.set()
        [found] = await wire.responses()
        assert found.closes
        assert b"createUser" in found.body


async def test_no_part_of_a_lost_connection_waits_for_the_garbage_collector() -> None:
    async with wired() as ask:
        gc.collect()
        gc.disable()
        try:
            async with ask.opened() as wire:
                for _ in range(2):
                    await wire.send(request())
                    await wire.response()
                [lost] = map(weakref.ref, ask.connections)
            await until(lambda: lost() is None)
        finally:
            gc.enable()
