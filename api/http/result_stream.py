"""Sends the results of one operation as they come, in the framing of a media type."""

from __future__ import annotations

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

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


@dataclass(slots=True)
class ResultStream:
    """The results of an operation, and how they are written."""

    framing: Framing
    results: AsyncGenerator[Formatted, None]
    position: StreamPosition | None = None
    _silent_since: float = field(default=0.0, init=False)
    """When the last part was written (of the event loop's clock); infinite while one is being written."""

    async def send(
        self, receive: Receive, send: Send, keep_alive_seconds: float, closing: asyncio.Event
    ) -> None:
        """Sends each result, until there are no more, the client disconnects, or `closing` is set."""
        await send(_start(self.framing))
        await self._write(send, self.framing.opening)
        sending = asyncio.create_task(self._send_results(send))
        ends = {
            sending,
            asyncio.create_task(closing.wait()),
            asyncio.create_task(_disconnected(receive)),
        }
        try:
            await self._keep_alive(send, ends, keep_alive_seconds)
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        if not sending.cancelled():
            sending.result()
        await send({"type": "http.response.body", "body": b""})

    async def _keep_alive(
        self, send: Send, ends: Collection[asyncio.Task[Any]], seconds: float
    ) -> None:
        """Writes after each `seconds` of silence, until the first task ends."""
        now = asyncio.get_running_loop().time
        ended: Collection[asyncio.Task[Any]] = ()
        while not ended:
            silence_left = min(self._silent_since + seconds - now(), seconds)
            if silence_left <= 0:
                await self._write(send, self.framing.keep_alive)
                silence_left = seconds
            ended, _ = await asyncio.wait(ends, timeout=silence_left, return_when=FIRST_COMPLETED)

    async def _send_results(self, send: Send) -> None:
        async with aclosing(self.results):
            try:
                async for result in self.results:
                    version = None if self.position is None else self.position.last
                    await self._write(send, self.framing.result(result, version))
            except RequestError as error:
                await self._write(send, self.framing.error(error.response))
            await self._write(send, self.framing.complete)

    async def _write(self, send: Send, part: bytes) -> None:
        """Sends a part, and waits until the connection has drained, before the next part is made."""
        self._silent_since = inf
        if part:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await send(_NOTHING)
        self._silent_since = asyncio.get_running_loop().time()


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


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
