"""One request with its response: receives the body, runs the application, and sends the response."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from api.http.graphql_http import Disconnected
from api.http.protocols.asgi_response import ASGIResponse
from api.http.response import EncodedResponse

if TYPE_CHECKING:
    from asyncio import Task

    from starlette.types import ASGIApp, Message, Scope

    from api.http.graphql_http import GraphQLOverHTTP
    from api.http.protocols.http_protocol import HTTPConnection
    from api.http.protocols.request_head import Head
    from api.http.protocols.response_heads import ErrorResponse
    from api.http.protocols.server_config import ServerContext

_MAX_BUFFERED_BYTES: Final = 64 * 1024
"""Bytes of a body that wait for the application; above, reading pauses."""

_INTERNAL_ERROR: Final = {
    "type": "http.response.start",
    "status": 500,
    "headers": [(b"content-length", b"0")],
}

_log = logging.getLogger("uvicorn.error")


class Exchange:
    """A request that is executed once all earlier requests on its connection have responses.

    Invariant: a response that begins before its request is complete closes the connection, so no byte of the
    rest of that request can be parsed as another request.
    """

    complete = False
    """True once the whole request has been read."""
    is_last = False
    """True if no request can follow it on the connection; known once it is complete."""
    disconnected = False
    """True once the rest of the request cannot be read, or the response cannot be written."""
    started = False
    """True once the head of the response has been written."""
    finished = False
    """True once all of the response has been written."""
    closes = True
    """True if the connection closes after the response; known once it has started."""
    refusal: ErrorResponse | None = None
    """The response that is written if the application has started none."""
    task: Task[None] | None = None
    _body = b""
    _delivered = False
    _has_continued = False
    _changed: asyncio.Event | None = None

    def __init__(self, connection: HTTPConnection, head: Head | None) -> None:
        """`head` is None if the request is refused before its head is complete."""
        self.head = head
        self._connection = connection

    # The request

    @property
    def method(self) -> bytes | None:
        """The method of the request, if its head was read."""
        return None if self.head is None else self.head.method

    @property
    def is_full(self) -> bool:
        """True while too much of the body waits for the application."""
        return len(self._body) > _MAX_BUFFERED_BYTES

    def append_body(self, part: bytes) -> None:
        """Appends a part of the body."""
        self._body += part
        self._wake()

    def mark_complete(self, *, is_last: bool) -> None:
        """Marks the request as complete; `is_last` if no request follows on the connection."""
        self.complete = True
        self.is_last = is_last
        self._wake()

    def disconnect(self, refusal: ErrorResponse | None = None) -> None:
        """Ends the request before it is complete, or its response: `receive` returns `http.disconnect`."""
        self.disconnected = True
        self.refusal = refusal
        self._wake()

    async def receive(self) -> Message:
        """Returns the next part of the body, or `http.disconnect` (ASGI's receive)."""
        connection = self._connection
        if not self.complete:
            self._continue()
        while not (self._body or self.disconnected or self.finished):
            if self.complete and not self._delivered:
                break
            await self._wait()
        if self.disconnected or self.finished:
            return {"type": "http.disconnect"}
        body, self._body = self._body, b""
        is_last = self._delivered = self.complete
        if not is_last:
            connection.advance()  # may append more of the body, for the next call
        return {"type": "http.request", "body": body, "more_body": not is_last}

    def _continue(self) -> None:
        """Sends 100 Continue to a client that waits for it."""
        expects = self.head is not None and self.head.expects_continue
        if expects and not (self._has_continued or self.disconnected or self.started):
            self._has_continued = True
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def _wait(self) -> None:
        self._changed = self._changed or asyncio.Event()
        self._changed.clear()
        await self._changed.wait()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()

    # The response

    def begin(self, *, closes: bool) -> bytes:
        """Marks the response as started and returns its common lines. `closes` if the connection has to."""
        self.started = True
        closes = closes or not self.complete or self._connection.closes_after(self)
        self.closes = closes
        return self._connection.context.lines(closes=closes)

    async def execute_graphql(
        self, endpoint: GraphQLOverHTTP, context: ServerContext, client: tuple[str, int] | None
    ) -> None:
        """Executes a GraphQL request without routing and middleware (GraphQLOverHTTP.bypasses_app)."""
        assert self.head is not None
        headers = self.head.combined_headers()
        scope = endpoint.scope(self.head.headers, client)
        try:
            if b"x-forwarded-for" in headers:
                await context.set_client(scope)
            with endpoint.trace(headers):
                body = self._body if self.complete else None
                response = await endpoint.respond(scope, headers, self.receive, body)
                if isinstance(response, EncodedResponse):
                    if not self._connection.is_writable:
                        await self._connection.drained()
                    line = self.begin(closes=response.closes)
                    self._connection.write(response.serialized(line))
                    self.finished = True
                else:
                    send = ASGIResponse(self, self._connection).send
                    await endpoint.send(response, scope, self.receive, send)
        except Disconnected:
            pass
        finally:
            self._connection.finish(self)

    async def execute_app(self, app: ASGIApp, scope: Scope) -> None:
        """Executes a request with the ASGI application."""
        send = ASGIResponse(self, self._connection).send
        try:
            await app(scope, self.receive, send)
            if not (self.started or self.disconnected):
                raise RuntimeError("The application returned without a response.")
        except Exception as error:
            _log.error("Exception in ASGI application", exc_info=error)
            if not (self.started or self.disconnected):
                await send(_INTERNAL_ERROR)
                await send({"type": "http.response.body"})
        finally:
            self._connection.finish(self)
