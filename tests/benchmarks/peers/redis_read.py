"""The floor under any ASGI service that reads Redis: one read for each request, on one shared connection.

It answers a constant, like `constant`. Commands of one turn of the event loop are written together.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, cast

import hiredis

from tests.benchmarks.peers import constant

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope


class Reads(asyncio.Protocol):
    """Replies come in the order of the commands."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._unsent: list[bytes] = []
        self._waiting: deque[asyncio.Future[object]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._waiting.popleft().set_result(reply)

    def read(self, command: bytes) -> asyncio.Future[object]:
        loop = asyncio.get_running_loop()
        if not self._unsent:
            loop.call_soon(self._send)
        self._unsent.append(command)
        reply: asyncio.Future[object] = loop.create_future()
        self._waiting.append(reply)
        return reply

    def _send(self) -> None:
        self._transport.write(b"".join(self._unsent))
        self._unsent.clear()


@cache
def _connected() -> asyncio.Task[Reads]:
    return asyncio.ensure_future(_connect())


async def _connect() -> Reads:
    loop = asyncio.get_running_loop()
    _, reads = await loop.create_unix_connection(Reads, os.environ["REDIS_SOCKET"])
    return reads


FIELDS = ("version", "name", "email", "createdAt", "updatedAt", "orderCount", "lifetimeValue")
COMMAND = hiredis.pack_command(
    ("HMGET", os.environ.get("A_USER", ""), *FIELDS)  # type: ignore[arg-type]
)


async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    if scope["type"] == "http":
        reads = await _connected()
        assert isinstance(await reads.read(COMMAND), list)
        await constant.app(scope, receive, send)
