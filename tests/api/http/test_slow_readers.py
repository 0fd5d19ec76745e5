"""Clients that do not read, send too much, or have disconnected have a bounded cost."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from wsproto import WSConnection

from api.limits import Limits
from tests.api.http.test_graphql_ws import PROTOCOL, closed, connected, heard, subscribe
from tests.api.in_memory_app import ALICE, Edge, edge, served
from tests.api.with_limits import with_limits
from tests.limited import limited

WATCH = f'subscription {{ userChanged(id: "{ALICE}") {{ name version }} }}'
HANDSHAKE = (
    "GET /graphql HTTP/1.1\r\nhost: tandem\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    f"sec-websocket-version: 13\r\nsec-websocket-protocol: {PROTOCOL}\r\n"
    f"sec-websocket-key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n"
).encode()
MULTIPART = b"multipart/mixed;subscriptionSpec=1.0"
LONG_NAME = "x" * 10_000
QUICK = with_limits(send_seconds=0.3, keep_alive_seconds=0.02)


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """A frame of a client; masked with zeros, which changes nothing."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


def message(**fields: Any) -> bytes:
    return frame(json.dumps(fields).encode())


class Peer:
    """A raw connection that reads on demand only."""

    def __init__(self, plug: socket.socket) -> None:
        self.plug = plug
        self.loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        async with limited(20):
            await self.loop.sock_sendall(self.plug, data)

    async def read(self) -> bytes:
        async with limited(5):
            return await self.loop.sock_recv(self.plug, 1 << 20)

    async def read_all(self) -> bytes:
        """Until the connection is closed, or reset."""
        found = b""
        try:
            while part := await self.read():
                found += part
        except ConnectionResetError:
            pass
        return found


@asynccontextmanager
async def peer(limits: Limits) -> AsyncIterator[tuple[Edge, Peer]]:
    """Its receive buffer is small, so that the server notices soon that it does not read."""
    async with edge(limits) as made, served(made.app) as address:
        host, port = address.split(":")
        with socket.socket() as plug:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plug.setblocking(False)
            await asyncio.get_running_loop().sock_connect(plug, (host, int(port)))
            yield made, Peer(plug)


@asynccontextmanager
async def websocket(limits: Limits) -> AsyncIterator[tuple[Edge, Peer]]:
    async with peer(limits) as (made, client):
        await client.send(HANDSHAKE)
        assert b"101" in await client.read()
        yield made, client


async def until_nobody_listens(made: Edge) -> int:
    """Publishes changes until the subscription ends; returns their number."""
    version = 1
    async with limited(20):
        while made.reads.listeners:
            version += 1
            if version < 2_000:
                made.reads.put(ALICE, LONG_NAME, version)
            await asyncio.sleep(0.002)
    return version


async def until_somebody_listens(made: Edge) -> None:
    async with limited(5):
        while not made.reads.listeners:
            await asyncio.sleep(0.01)


async def sends_on(client: Peer) -> None:
    async with limited(5):
        while True:
            await client.send(b"x" * 1_000)
            await asyncio.sleep(0.01)


def close_code(received: bytes) -> int:
    """Of the close frame at the very end."""
    at = received.rindex(b"\x88")
    return int(struct.unpack("!H", received[at + 2 : at + 4])[0])


async def test_a_websocket_client_that_does_not_read_is_closed_with_1013() -> None:
    async with websocket(QUICK) as (made, client):
        made.reads.put(ALICE, LONG_NAME)
        await client.send(message(type="connection_init"))
        await client.send(message(type="subscribe", id="1", payload={"query": WATCH}))
        await until_somebody_listens(made)
        await until_nobody_listens(made)
        assert close_code(await client.read_all()) == 1013


async def test_a_websocket_client_that_never_reads_is_aborted() -> None:
    async with websocket(QUICK) as (made, client):
        made.reads.put(ALICE, LONG_NAME)
        before = len(asyncio.all_tasks())
        await client.send(message(type="connection_init"))
        await client.send(message(type="subscribe", id="1", payload={"query": WATCH}))
        await until_somebody_listens(made)
        await until_nobody_listens(made)
        with pytest.raises(ConnectionError):
            await sends_on(client)
        async with limited(5):
            while len(asyncio.all_tasks()) >= before:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("accept", "ending"), [(b"text/event-stream", b"event: complete"), (MULTIPART, b"--graphql--")]
)
async def test_a_client_that_does_not_read_its_event_stream_is_disconnected(
    accept: bytes, ending: bytes
) -> None:
    async with peer(QUICK) as (made, client):
        made.reads.put(ALICE, LONG_NAME)
        body = json.dumps({"query": WATCH}).encode()
        await client.send(
            b"POST /graphql HTTP/1.1\r\nhost: tandem\r\ncontent-type: application/json\r\n"
            b"accept: %b\r\ncontent-length: %d\r\n\r\n%b" % (accept, len(body), body)
        )
        await until_somebody_listens(made)
        await until_nobody_listens(made)
        assert ending not in await client.read_all()


async def test_nothing_is_read_for_a_client_that_does_not_read() -> None:
    async with websocket(with_limits(send_seconds=60)) as (made, client):
        made.reads.put(ALICE, LONG_NAME)
        await client.send(message(type="connection_init"))
        await client.send(message(type="subscribe", id="1", payload={"query": WATCH}))
        await until_somebody_listens(made)
        asked_before, version = -1, 1
        while asked_before != made.reads.asked:
            assert version < 5_000
            asked_before = made.reads.asked
            for _ in range(50):
                version += 1
                made.reads.put(ALICE, LONG_NAME, version)
                await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "flood",
    [message(type="ping"), frame(b"", 9), frame(b"", 10), frame(b"\xe2\x82\xac")],
    ids=["graphql pings", "pings", "pongs", "text"],
)
async def test_a_flood_of_frames_closes_the_connection_and_most_of_it_is_never_parsed(
    flood: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = 0
    receive_data = WSConnection.receive_data

    def counted(connection: WSConnection, data: bytes | None) -> None:
        nonlocal looked_at
        looked_at += len(data or b"")
        receive_data(connection, data)

    monkeypatch.setattr(WSConnection, "receive_data", counted)
    async with websocket(with_limits(frames=100, send_seconds=0.5)) as (_, client):
        reading = asyncio.create_task(client.read_all())
        sending = asyncio.create_task(client.send(flood * 100_000))
        found = await reading
        sending.cancel()
        await asyncio.wait([sending])
        assert close_code(found) in {1013, 4400}
        assert looked_at < 20_000


async def test_as_many_frames_as_the_limit_in_a_second_are_handled() -> None:
    async with connected(with_limits(operations=1_000)) as (_, socket):
        for number in range(400):
            await subscribe(socket, "{ __typename }", str(number))
        for _ in range(800):
            assert (await heard(socket))["type"] in {"next", "complete"}


async def test_a_long_message_is_taken_in_slices_and_whole() -> None:
    async with connected() as (_, socket):
        await subscribe(socket, "{ __typename } #" + "x" * 60_000)
        assert (await heard(socket))["payload"] == {"data": {"__typename": "Query"}}


async def test_a_client_without_pongs_is_detected() -> None:
    async with websocket(with_limits(ping_seconds=0.1)) as (made, client):
        made.reads.put(ALICE, "Alice")
        await client.send(message(type="connection_init"))
        await client.send(message(type="subscribe", id="1", payload={"query": WATCH}))
        await until_somebody_listens(made)
        assert close_code(await client.read_all()) == 4408
        await until_nobody_listens(made)


async def test_a_client_that_sends_pongs_stays_connected() -> None:
    async with connected(with_limits(ping_seconds=0.2)) as (_, socket):
        await asyncio.sleep(0.7)
        await subscribe(socket, "{ __typename }")
        assert (await heard(socket))["type"] == "next"


async def test_an_id_is_at_most_200_characters_long() -> None:
    async with connected() as (_, socket):
        await subscribe(socket, "{ __typename }", "i" * 200)
        assert (await heard(socket))["type"] == "next"
        await heard(socket)
        await subscribe(socket, "{ __typename }", "i" * 201)
        assert (await closed(socket))[0] == 4400
