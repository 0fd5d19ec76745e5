"""One keep-alive HTTP/1.1 connection, as cheap as the load generator needs it to be."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from httptools import HttpResponseParser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GRAPHQL = "/graphql"


class AnswerError(Exception):
    """The service answered, but not what the scenario asked for."""


def head(host: str, token: str = "") -> bytes:
    """What stands before a body, with a place for its length."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST {GRAPHQL} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n{authorization}"
        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    ).encode()


class Connection(asyncio.Protocol):
    """One request at a time; `answered_at` is its last byte's moment on the perf_counter clock."""

    def __init__(self, host: str, token: str = "") -> None:
        self.answered_at = 0.0
        self.closed = False
        self._head = head(host, token)
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._waiting: asyncio.Future[bytes] | None = None
        self._chunks: list[bytes] = []

    async def post(self, body: bytes) -> bytes:
        return await self.send(self._head % len(body) + body)

    async def send(self, request: bytes) -> bytes:
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError("the service closed the connection"))

    def on_body(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        self.answered_at = time.perf_counter()
        body, self._chunks = b"".join(self._chunks), []
        waiting, self._waiting = self._waiting, None
        status, self._parser = self._parser.get_status_code(), HttpResponseParser(self)
        if waiting is None or waiting.done():
            return
        if status == 200:
            waiting.set_result(body)
        else:
            waiting.set_exception(AnswerError(f"HTTP {status}: {body[:200]!r}"))


@asynccontextmanager
async def connections(url: str, count: int, token: str = "") -> AsyncIterator[list[Connection]]:
    """`count` open connections to the service at `url`, closed on the way out."""
    opened: list[Connection] = []
    try:
        for _ in range(count):
            connection = await connected(url, token)
            opened.append(connection)
        yield opened
    finally:
        for connection in opened:
            connection.close()


async def connected(url: str, token: str = "") -> Connection:
    at = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(at.netloc, token), at.hostname or "", at.port or 80
    )
    return connection
