"""WebSocket clients that leave in every way that TCP has: none leaves a subscription or a connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from api.limits import Limits
from tests.api.http.test_close_codes import until
from tests.api.http.test_slow_readers import HANDSHAKE, WATCH, Peer, frame, message
from tests.api.http.test_unsent_bytes import client, service
from tests.api.in_memory_app import ALICE
from tests.api.with_limits import with_limits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CLIENTS = 100
LIMITS = with_limits(send_seconds=0.2)
PINGING = with_limits(send_seconds=0.2, ping_seconds=0.3)


async def resets(peer: Peer) -> None:
    peer.plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.plug.close()


async def ends_without_a_close_frame(peer: Peer) -> None:
    peer.plug.close()


async def closes_its_side_and_reads_nothing(peer: Peer) -> None:
    peer.plug.shutdown(socket.SHUT_WR)


async def sends_a_close_frame_and_reads_nothing(peer: Peer) -> None:
    await peer.send(frame(b"\x03\xe8", 8))


async def sends_a_close_frame_and_more(peer: Peer) -> None:
    await peer.send(frame(b"\x03\xe8", 8) + frame(b"", 9) + message(type="ping"))


async def is_silent(_: Peer) -> None:
    pass


@pytest.mark.parametrize(
    ("leaves", "unread", "limits"),
    [
        (resets, 2_000, LIMITS),
        (ends_without_a_close_frame, 2_000, LIMITS),
        (closes_its_side_and_reads_nothing, 2_000, LIMITS),
        (closes_its_side_and_reads_nothing, 100_000, LIMITS),
        (sends_a_close_frame_and_reads_nothing, 100_000, LIMITS),
        (sends_a_close_frame_and_more, 2_000, LIMITS),
        (is_silent, 2_000, PINGING),
    ],
)
async def test_clients_that_disconnect_leave_no_state(
    leaves: Callable[[Peer], Awaitable[None]], unread: int, limits: Limits
) -> None:
    """`unread`: bytes of each event. Short ones stay below the mark from which a transport is counted."""
    async with service(limits) as served, AsyncExitStack() as stack:
        served.made.reads.put(ALICE, "Alice")
        peers = [await stack.enter_async_context(client(served.address)) for _ in range(CLIENTS)]
        for peer in peers:
            await peer.send(HANDSHAKE)
            assert b"101" in await peer.read()
            await peer.send(message(type="connection_init"))
            await peer.send(message(type="subscribe", id="1", payload={"query": WATCH}))
            while b'"next"' not in (found := await peer.read()):
                assert found, "the connection was closed"
        for version in range(2, 5):
            served.made.reads.put(ALICE, "x" * unread, version)
            await asyncio.sleep(0)
        for peer in peers:
            await leaves(peer)
        await until(lambda: not served.made.reads.listeners)
        await until(lambda: not served.connections)
        assert served.unsent.bytes == 0
