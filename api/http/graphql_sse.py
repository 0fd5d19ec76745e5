"""GraphQL over Server-Sent Events, distinct connections mode: one operation per request."""

from __future__ import annotations

import asyncio
from asyncio import FIRST_COMPLETED
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from api.auth.security_headers import SECURITY_HEADERS
from api.errors import Formatted, RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.types import Receive, Send

_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"x-accel-buffering", b"no"),  # or proxies buffer events
        *SECURITY_HEADERS,
    ],
}
_NOTHING = {"type": "http.response.body", "body": b"", "more_body": True}
"""Writes no bytes, but `send` waits until the transport has drained before it writes anything."""
_COMPLETE = b"event: complete\ndata:\n\n"
_COMMENT = b":\n\n"
_encode = msgspec.json.Encoder().encode


async def single_result(response: Formatted) -> AsyncGenerator[Formatted, None]:
    """Yields one response."""
    yield response


async def send_stream(
    results: AsyncGenerator[Formatted, None],
    receive: Receive,
    send: Send,
    keep_alive: float,
    closing: asyncio.Event,
) -> None:
    """Sends each result, until there are no more, the client disconnects, or `closing` is set.

    Sends a comment after `keep_alive` seconds without an event.
    """
    await send(_START)
    ended = asyncio.create_task(_ended(receive, closing))
    try:
        async with aclosing(results):
            while (event := await _next(results, ended, send, keep_alive)) is not None:
                await _write(send, event)
                if event is _COMPLETE:
                    break
    finally:
        ended.cancel()
    await send({"type": "http.response.body", "body": b""})


async def _next(
    results: AsyncGenerator[Formatted, None],
    ended: asyncio.Task[None],
    send: Send,
    keep_alive: float,
) -> bytes | None:
    """Returns the next event; None once the client has disconnected or the process shuts down."""
    event = asyncio.create_task(_event(results))
    try:
        while not (event.done() or ended.done()):
            await asyncio.wait({event, ended}, timeout=keep_alive, return_when=FIRST_COMPLETED)
            if not (event.done() or ended.done()):
                await _write(send, _COMMENT)
        return None if ended.done() else event.result()
    finally:
        if not event.done():
            event.cancel()
            await asyncio.wait({event})


async def _event(results: AsyncGenerator[Formatted, None]) -> bytes:
    try:
        response = await anext(results)
    except StopAsyncIteration:
        return _COMPLETE
    except RequestError as error:
        response = error.response
    return b"event: next\ndata: %b\n\n" % _encode(response)


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


async def _write(send: Send, event: bytes) -> None:
    """Sends an event, and waits until the connection has drained, before the next event is made."""
    await send({"type": "http.response.body", "body": event, "more_body": True})
    await send(_NOTHING)
