"""An HTTP/1.1 connection: requests in the order in which they arrive, each with one response.

Every byte is fed to the parser in order, in slices; while a request waits for its turn, nothing more is fed
and reading is paused. A connection waits a limited time for a request, for its body, for a client that does
not read, and for the next request. A request that arrives in one read sets no timer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from api.http.protocols.asgi_scope import scope_of
from api.http.protocols.deadline_timer import Deadline
from api.http.protocols.exchange import Exchange
from api.http.protocols.lingering_close import LingeringClose
from api.http.protocols.request_parser import SLICE, Head, RequestParser, WebSocketUpgrade
from api.http.protocols.response_heads import (
    ENDING,
    INCOMPLETE,
    PIPELINED_UPGRADE,
    TIMEOUT,
    ErrorResponse,
    RefusedRequest,
)
from api.http.protocols.write_timeout import WriteTimeout

if TYPE_CHECKING:
    import uvicorn
    from uvicorn.server import ServerState

    from api.http.protocols.server_config import ServerContext

_GRACE: Final = 0.5
"""Seconds for which idle connections stay open when the process ends, for requests that are on their way."""


class HTTPConnection(asyncio.Protocol):
    """The protocol of uvicorn's server for HTTP.

    Invariants: one exchange runs at a time. Bytes that are not fed yet are at most those of one read, and
    the requests that wait are at most those of one slice.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.config = config
        self.server_state = server_state
        self.app_state = app_state
        self.loop = _loop or asyncio.get_running_loop()
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int | None] | None = None
        self.scheme = "http"
        self.serving: ServerContext = config.serving  # type: ignore[attr-defined]
        self._parser = RequestParser(self)
        self._deadline = Deadline(self.loop, self._on_deadline)
        self._linger: LingeringClose | None = None
        self._unfed = b""
        self._awaited = 0
        """The phase of the parser for which the deadline was set; 0 while the client cannot be late."""
        self._reading: Exchange | None = None
        """The exchange whose request was read last, until it ends."""
        self._waiting: deque[Exchange] = deque()
        self._running: Exchange | None = None
        self._accepts = True
        """False once no further request is read."""
        self._has_eof = False
        self._is_ending = False
        self._is_idle = True
        self._is_paused = False
        self._is_ours = True
        """False once the connection is lost, or has become a WebSocket."""
        self._writable: asyncio.Event | None = None
        """Not set while the client reads too little."""

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.client = get_remote_addr(self.transport)
        self.server = get_local_addr(self.transport)
        self.scheme = "https" if is_ssl(self.transport) else "http"
        limits = self.serving.limits
        self._patience = WriteTimeout(self.transport, limits.send_seconds)
        self.serving.unsent.connected(self.transport)
        connections: set[Any] = self.server_state.connections
        connections.add(self)
        if len(connections) > limits.connections and not self.serving.idle.close_longest():
            self.transport.abort()
            return
        self._deadline.set(limits.request_seconds)
        self.serving.idle.add(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_ours:
            self._release()
        self._stop_reading()
        self._waiting.clear()
        self._reading = None
        if self._running is not None:
            self._running.disconnect()
        if self._writable is not None:
            self._writable.set()

    def _release(self) -> None:
        """Gives up everything that refers to the connection, which is closed or no longer HTTP."""
        self._is_ours = False
        connections: set[Any] = self.server_state.connections
        connections.discard(self)
        self.serving.idle.remove(self.transport)
        self.serving.unsent.resumed(self.transport)
        self._deadline.cancel()
        self._patience.lose()
        self._parser.close()

    def data_received(self, data: bytes) -> None:
        if self._linger is not None:
            self._linger.discard(len(data), self.loop.time())
        elif self._accepts:
            self._unfed += data
            self.advance()

    def eof_received(self) -> bool:
        """Returns True to keep the connection open for responses; TLS has no half-close."""
        self._has_eof = True
        if self._linger is not None or self.scheme == "https":
            return False
        if self._parser.phase:
            self._refuse(INCOMPLETE)
        self.advance()
        return bool(self._running or self._waiting)

    def pause_writing(self) -> None:
        self._writable = self._writable or asyncio.Event()
        self._writable.clear()
        self._patience.begin(self.transport.abort)
        self.serving.unsent.paused(self.transport)

    def resume_writing(self) -> None:
        self.serving.unsent.resumed(self.transport)
        if self._writable is not None:
            self._writable.set()
        if not self.transport.is_closing() and self._linger is None:
            self._patience.end()
            self.advance()

    async def drained(self) -> None:
        """Waits until the client has read enough of what was written."""
        if self._writable is not None:
            await self._writable.wait()

    def write(self, data: bytes) -> None:
        """Writes bytes of a response, unless the connection is closing."""
        if not self.transport.is_closing():
            self.transport.write(data)
            if not self.is_writable:
                self.serving.unsent.check()

    def shutdown(self) -> None:
        """Ends the connection after the requests in progress, or after a while (uvicorn's interface)."""
        self._is_ending = True
        if not (self._running or self._waiting):
            self.loop.call_later(_GRACE, self._close_idle)

    def _close_idle(self) -> None:
        if not (self._running or self._waiting or self._linger):
            self.transport.close()
            self._patience.linger()

    # Requests

    def advance(self) -> None:
        """Starts the next request, and feeds the parser, as far as both may be done now."""
        while True:
            if self._waiting and self._running is None:
                self._start_next()
            if not self._unfed or not self._accepts or self._is_blocked():
                break
            part, self._unfed = self._unfed[:SLICE], self._unfed[SLICE:]
            try:
                self._parser.feed(part)
            except RefusedRequest as error:
                self._refuse(error.refusal)
            except WebSocketUpgrade as upgrade:
                self._upgrade(upgrade)
        self._settle()

    def _is_blocked(self) -> bool:
        """True while a request or a body waits for the application."""
        return bool(self._waiting) or (self._reading is not None and self._reading.is_full)

    def on_request(self, head: Head) -> None:
        """Receives the head of the next request."""
        self._reading = Exchange(self, head)
        self._waiting.append(self._reading)

    def on_content(self, part: bytes) -> None:
        """Receives a part of the body of that request."""
        assert self._reading is not None
        self._reading.add(part)

    def on_request_complete(self, *, is_last: bool) -> None:
        """Receives the end of that request; `is_last` if the client sends no other on the connection."""
        assert self._reading is not None
        self._reading.end(is_last=is_last)
        if is_last:
            self._stop_reading()

    def _stop_reading(self) -> None:
        """Accepts no further request; what still arrives is discarded."""
        self._accepts = False
        self._unfed = b""

    def _refuse(self, refusal: ErrorResponse) -> None:
        """Lets the refusal be the response to the request that is being read, and the last one."""
        self._stop_reading()
        self._parser.phase = 0
        if self._reading is not None and not self._reading.complete:
            self._reading.disconnect(refusal)
        else:
            exchange = Exchange(self, self._parser.head)
            exchange.refusal = refusal
            self._waiting.append(exchange)

    def _upgrade(self, upgrade: WebSocketUpgrade) -> None:
        """Gives the connection to the protocol for WebSockets."""
        if self._running or self._waiting:
            self._refuse(PIPELINED_UPGRADE)
            return
        if self._is_ending:
            self._refuse(ENDING)
            return
        rest = upgrade.rest + self._unfed
        self._stop_reading()
        self._pause_reading(False)
        self._release()
        websocket: Any = self.config.ws_protocol_class
        protocol = websocket(self.config, self.server_state, self.app_state)
        protocol.connection_made(self.transport)
        if not self.is_writable:
            protocol.pause_writing()  # the transport says so once, and has said it to this connection
        protocol.upgrade(upgrade.head.serialized(), rest)
        self.transport.set_protocol(protocol)

    # Responses

    def closes_after(self, exchange: Exchange) -> bool:
        """Returns True if no request can follow this one."""
        return exchange.is_last or ((self._is_ending or self._has_eof) and not self._waiting)

    def _start_next(self) -> None:
        while self._waiting and self._running is None and self.is_writable:
            exchange = self._waiting.popleft()
            try:
                self._start(exchange)
            except RefusedRequest as error:
                self.write(error.refusal.serialized(exchange.method))
                self._close()

    def _start(self, exchange: Exchange) -> None:
        """Executes a request. Raises RefusedRequest if it cannot be executed."""
        head, graphql = exchange.head, self.serving.graphql
        if head is None or exchange.refusal is not None:
            raise RefusedRequest(exchange.refusal or INCOMPLETE)
        if graphql is not None and graphql.takes(head.method, head.target, head.fields):
            run = exchange.respond(graphql, self.serving, self.client)
        else:
            run = exchange.run(self.config.loaded_app, scope_of(self, head))
        self._running = exchange
        exchange.task = self.loop.create_task(run)
        self.server_state.tasks.add(exchange.task)

    def finish(self, exchange: Exchange) -> None:
        """Ends an exchange whose application has returned, and goes on with the next one."""
        self.server_state.total_requests += 1
        self.server_state.tasks.discard(exchange.task)
        self._running = None
        if self._reading is exchange:
            self._reading = None  # a body that was not read must not block what follows, nor stay
        if self.transport.is_closing():
            return
        if exchange.finished:
            self._close() if exchange.closes or self.closes_after(exchange) else self.advance()
        elif exchange.refusal is not None and not exchange.started:
            self.write(exchange.refusal.serialized(exchange.method))
            self._close()
        else:
            self.transport.abort()  # only a reset tells the client that the response is incomplete

    def _close(self) -> None:
        """Closes the connection once the client has read the last response."""
        self._stop_reading()
        self._waiting.clear()
        self._pause_reading(False)
        if self._has_eof:
            self.transport.close()
        else:
            self._linger = LingeringClose(self.transport, self._deadline, self.loop.time())
        self._patience.linger()

    # Waiting

    @property
    def is_writable(self) -> bool:
        """True unless the client reads too little of what was written."""
        return self._writable is None or self._writable.is_set()

    def _settle(self) -> None:
        """Sets the deadline and pauses reading as the state of the connection demands."""
        if not self._is_ours or self._linger is not None or self.transport.is_closing():
            return
        if self._is_paused or self._unfed:
            self._pause_reading(bool(self._unfed))
        phase = self._parser.phase
        if phase or self._awaited:
            self._await(0 if self._is_blocked() else phase)
        is_idle = not (phase or self._running or self._waiting)
        if is_idle is not self._is_idle:
            self._set_idle(is_idle)

    def _await(self, phase: int) -> None:
        """Gives the client a limited time for what it has begun to send; 0 gives it any time."""
        if phase == self._awaited:
            return
        self._awaited = phase
        if phase:
            self._deadline.set(self.serving.limits.request_seconds)
        else:
            self._deadline.clear()

    def _set_idle(self, is_idle: bool) -> None:
        self._is_idle = is_idle
        if is_idle:
            self.serving.idle.add(self.transport)
            self._deadline.set(self.serving.limits.idle_seconds)
        else:
            self.serving.idle.remove(self.transport)

    def _pause_reading(self, pauses: bool) -> None:
        if pauses == self._is_paused:
            return
        self._is_paused = pauses
        if pauses:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _on_deadline(self) -> None:
        if self._linger is not None or self._is_idle:
            self.transport.close()
            self._patience.linger()
        elif self._awaited:
            self._refuse(TIMEOUT)
            self.advance()
