"""Sends the results of one operation as they come, in the framing of a media type."""

from __future__ import annotations

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from api.auth.security_headers import SECURITY_HEADERS
from api.engine.stream_position import StreamPosition
from api.errors import Formatted, RequestError

if TYPE_CHECKING:
    from starlette.types import Receive, Send


class Framing(NamedTuple):
    """How results are written in a media type."""

    content_type: bytes
    result: Callable[[Formatted, int | None], bytes]
    """Encodes a result and the version to resume after, if it has one."""
    error: Callable[[Formatted], bytes]
    """Encodes the error that ends the stream."""
    complete: bytes
    """Ends the stream after the last result."""
    keep_alive: bytes
    """Keeps a silent connection open."""
    opening: bytes = b""


class ResultStream(NamedTuple):
    """The results of an operation, and how they are written."""

    framing: Framing
    results: AsyncGenerator[Formatted, None]
    position: StreamPosition | None = None

    async def send(
        self, receive: Receive, send: Send, keep_alive_seconds: float, closing: asyncio.Event
    ) -> None:
        """Sends each result, until there are no more, the client disconnects, or `closing` is set."""
        await send(_start(self.framing))
        await _write(send, self.framing.opening)
        ended = asyncio.create_task(_ended(receive, closing))
        try:
            async with aclosing(self.results):
                while (part := await self._next(ended, send, keep_alive_seconds)) is not None:
                    await _write(send, part)
                    if part is self.framing.complete:
                        break
        finally:
            ended.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _next(
        self, ended: asyncio.Task[None], send: Send, keep_alive_seconds: float
    ) -> bytes | None:
        """Returns the next part; None once the client has disconnected or the process shuts down."""
        part = asyncio.create_task(self._encoded())
        try:
            while not (part.done() or ended.done()):
                await asyncio.wait(
                    {part, ended}, timeout=keep_alive_seconds, return_when=FIRST_COMPLETED
                )
                if not (part.done() or ended.done()):
                    await _write(send, self.framing.keep_alive)
            return None if ended.done() else part.result()
        finally:
            if not part.done():
                part.cancel()
                await asyncio.wait({part})

    async def _encoded(self) -> bytes:
        try:
            result = await anext(self.results)
        except StopAsyncIteration:
            return self.framing.complete
        except RequestError as error:
            return self.framing.error(error.response)
        version = None if self.position is None else self.position.last
        return self.framing.result(result, version)


_NOTHING = {"type": "http.response.body", "body": b"", "more_body": True}
"""Writes no bytes, but `send` waits until the transport has drained before it writes anything."""


def _start(framing: Framing) -> dict[str, object]:
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", framing.content_type),
            (b"x-accel-buffering", b"no"),  # or proxies buffer parts
            *SECURITY_HEADERS,
        ],
    }


async def _ended(receive: Receive, closing: asyncio.Event) -> None:
    ends = {asyncio.create_task(closing.wait()), asyncio.create_task(_disconnected(receive))}
    try:
        await asyncio.wait(ends, return_when=FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(send: Send, part: bytes) -> None:
    """Sends a part, and waits until the connection has drained, before the next part is made."""
    if part:
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await send(_NOTHING)
