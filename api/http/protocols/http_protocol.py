"""An HTTP/1.1 connection: requests in the order in which they arrive, each with one response.

Every byte is fed to the parser in order, in slices. While a request waits for its turn, no bytes are fed
and reading is paused. The time is limited for the head of a request, for its body, for a client that does not
read, and for an idle connection. A request that arrives in one read sets no timer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.utils import get_local_addr, is_ssl

from api.http.protocols.asgi_scope import client_of, scope_of
from api.http.protocols.deadline_timer import Deadline
from api.http.protocols.exchange import Exchange
from api.http.protocols.lingering_close import LingeringClose
from api.http.protocols.request_parser import SLICE_BYTES, RequestParser, WebSocketUpgrade
from api.http.protocols.response_heads import (
    INCOMPLETE,
    PIPELINED_UPGRADE,
    SHUTTING_DOWN,
    TIMEOUT,
    ErrorResponse,
    RefusedRequest,
)
from api.http.protocols.write_timeout import WriteTimeout

if TYPE_CHECKING:
    import uvicorn
    from uvicorn.server import ServerState

    from api.http.protocols.request_head import Head
    from api.http.protocols.server_config import ServerContext

_SHUTDOWN_GRACE_SECONDS: Final = 0.5
"""Seconds for which idle connections stay open at shutdown, for requests that are already in flight."""


class HTTPConnection(asyncio.Protocol):
    """The protocol of uvicorn's server for HTTP.

    Invariants: one exchange runs at a time. At most the bytes of one read are not parsed yet, and at most the
    requests of one slice wait.
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
        self.context: ServerContext = config.context  # type: ignore[attr-defined]
        self._parser = RequestParser(self)
        self._deadline = Deadline(self.loop, self._on_deadline)
        self._lingering: LingeringClose | None = None
        self._unparsed = b""
        self._timed_phase = 0
        """The phase of the parser for which a deadline is set; 0 if none is."""
        self._reading: Exchange | None = None
        """The exchange whose request was read last, until it ends."""
        self._waiting: deque[Exchange] = deque()
        self._running: Exchange | None = None
        self._accepts_requests = True
        """False once no further request is read."""
        self._has_eof = False
        self._is_shutting_down = False
        self._is_idle = True
        self._is_paused = False
        self._owns_transport = True
        """False once the connection is lost, or has become a WebSocket."""
        self._writable: asyncio.Event | None = None
        """Not set while the client reads too slowly."""

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.client = client_of(self.transport)
        self.server = get_local_addr(self.transport)
        self.scheme = "https" if is_ssl(self.transport) else "http"
        limits = self.context.limits
        self._write_timeout = WriteTimeout(self.transport, limits.send_seconds)
        self.context.unsent_bytes.connected(self.transport)
        connections: set[Any] = self.server_state.connections
        connections.add(self)
        if len(connections) > limits.connections and not self.context.close_longest_idle():
            self.transport.abort()
            return
        self._deadline.set(limits.request_seconds)
        self.context.idle[self.transport] = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._owns_transport:
            self._release()
        self._stop_reading()
        self._waiting.clear()
        self._reading = None
        if self._running is not None:
            self._running.disconnect()
        if self._writable is not None:
            self._writable.set()

    def _release(self) -> None:
        """Removes all references to the connection, which is closed or no longer HTTP."""
        self._owns_transport = False
        connections: set[Any] = self.server_state.connections
        connections.discard(self)
        self.context.idle.pop(self.transport, None)
        self.context.unsent_bytes.resumed(self.transport)
        self._deadline.cancel()
        self._write_timeout.disable()
        self._parser.close()

    def data_received(self, data: bytes) -> None:
        if self._lingering is not None:
            self._lingering.discard(len(data), self.loop.time())
        elif self._accepts_requests:
            self._unparsed += data
            self.advance()

    def eof_received(self) -> bool:
        """Returns True to keep the connection open for responses; TLS has no half-close."""
        self._has_eof = True
        if self._lingering is not None or self.scheme == "https":
            return False
        if self._parser.phase:
            self._refuse(INCOMPLETE)
        self.advance()
        return bool(self._running or self._waiting)

    def pause_writing(self) -> None:
        self._writable = self._writable or asyncio.Event()
        self._writable.clear()
        self._write_timeout.start(self.transport.abort)
        self.context.unsent_bytes.paused(self.transport)

    def resume_writing(self) -> None:
        self.context.unsent_bytes.resumed(self.transport)
        if self._writable is not None:
            self._writable.set()
        if not self.transport.is_closing() and self._lingering is None:
            self._write_timeout.stop()
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
                self.context.unsent_bytes.check()

    def shutdown(self) -> None:
        """Closes after the requests in progress, or after a grace period (called by uvicorn)."""
        self._is_shutting_down = True
        if not (self._running or self._waiting):
            self.loop.call_later(_SHUTDOWN_GRACE_SECONDS, self._close_idle)

    def _close_idle(self) -> None:
        if not (self._running or self._waiting or self._lingering):
            self.transport.close()
            self._write_timeout.abort_unless_flushed()

    # Requests

    def advance(self) -> None:
        """Starts the next request and feeds the parser, until one of them has to wait."""
        while True:
            if self._waiting and self._running is None:
                self._start_next()
            if not self._unparsed or not self._accepts_requests or self._is_blocked():
                break
            part, self._unparsed = self._unparsed[:SLICE_BYTES], self._unparsed[SLICE_BYTES:]
            try:
                self._parser.feed(part)
            except RefusedRequest as error:
                self._refuse(error.refusal)
            except WebSocketUpgrade as upgrade:
                self._upgrade(upgrade)
        self._update_flow()

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
        self._reading.append_body(part)

    def on_request_complete(self, *, is_last: bool) -> None:
        """Receives the end of that request; `is_last` if the client sends no other on the connection."""
        assert self._reading is not None
        self._reading.mark_complete(is_last=is_last)
        if is_last:
            self._stop_reading()

    def _stop_reading(self) -> None:
        """Accepts no further request; further bytes are discarded."""
        self._accepts_requests = False
        self._unparsed = b""

    def _refuse(self, refusal: ErrorResponse) -> None:
        """Makes the refusal the response to the request that is being read, and the last one."""
        self._stop_reading()
        self._parser.phase = 0
        if self._reading is not None and not self._reading.complete:
            self._reading.disconnect(refusal)
        else:
            exchange = Exchange(self, self._parser.head)
            exchange.refusal = refusal
            self._waiting.append(exchange)

    def _upgrade(self, upgrade: WebSocketUpgrade) -> None:
        """Passes the connection to the WebSocket protocol."""
        if self._running or self._waiting:
            self._refuse(PIPELINED_UPGRADE)
            return
        if self._is_shutting_down:
            self._refuse(SHUTTING_DOWN)
            return
        rest = upgrade.rest + self._unparsed
        self._stop_reading()
        self._pause_reading(False)
        self._release()
        websocket: Any = self.config.ws_protocol_class
        protocol = websocket(self.config, self.server_state, self.app_state)
        protocol.connection_made(self.transport)
        protocol.client = self.client
        if not self.is_writable:
            protocol.pause_writing()  # the transport calls it once, and has called it on this protocol
        protocol.upgrade(upgrade.head.serialized(), rest)
        self.transport.set_protocol(protocol)

    # Responses

    def closes_after(self, exchange: Exchange) -> bool:
        """Returns True if no request can follow this one."""
        return exchange.is_last or ((self._is_shutting_down or self._has_eof) and not self._waiting)

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
        head, graphql = exchange.head, self.context.graphql
        if head is None or exchange.refusal is not None:
            raise RefusedRequest(exchange.refusal or INCOMPLETE)
        if graphql is not None and graphql.bypasses_app(head.method, head.target, head.fields):
            run = exchange.execute_graphql(graphql, self.context, self.client)
        else:
            run = exchange.execute_app(self.config.loaded_app, scope_of(self, head))
        self._running = exchange
        exchange.task = self.loop.create_task(run)
        self.server_state.tasks.add(exchange.task)

    def finish(self, exchange: Exchange) -> None:
        """Ends an exchange whose application has returned, and continues with the next one."""
        self.server_state.total_requests += 1
        self.server_state.tasks.discard(exchange.task)
        self._running = None
        if self._reading is exchange:
            self._reading = (
                None  # an unread body must not block the next request, nor stay in memory
            )
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
            self._lingering = LingeringClose(self.transport, self._deadline, self.loop.time())
        self._write_timeout.abort_unless_flushed()

    # Waiting

    @property
    def is_writable(self) -> bool:
        """True unless the client reads too slowly."""
        return self._writable is None or self._writable.is_set()

    def _update_flow(self) -> None:
        """Sets the deadline, and pauses or resumes reading, for the present state of the connection."""
        if not self._owns_transport or self._lingering is not None or self.transport.is_closing():
            return
        if self._is_paused or self._unparsed:
            self._pause_reading(bool(self._unparsed))
        phase = self._parser.phase
        if phase or self._timed_phase:
            self._set_phase_deadline(0 if self._is_blocked() else phase)
        is_idle = not (phase or self._running or self._waiting)
        if is_idle is not self._is_idle:
            self._set_idle(is_idle)

    def _set_phase_deadline(self, phase: int) -> None:
        """Limits the time for the head or body that the client is sending; 0 removes the limit."""
        if phase == self._timed_phase:
            return
        self._timed_phase = phase
        if phase:
            self._deadline.set(self.context.limits.request_seconds)
        else:
            self._deadline.clear()

    def _set_idle(self, is_idle: bool) -> None:
        self._is_idle = is_idle
        if is_idle:
            self.context.idle[self.transport] = None
            self._deadline.set(self.context.limits.idle_seconds)
        else:
            self.context.idle.pop(self.transport, None)

    def _pause_reading(self, pauses: bool) -> None:
        if pauses == self._is_paused:
            return
        self._is_paused = pauses
        if pauses:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _on_deadline(self) -> None:
        if self._lingering is not None or self._is_idle:
            self.transport.close()
            self._write_timeout.abort_unless_flushed()
        elif self._timed_phase:
            self._refuse(TIMEOUT)
            self.advance()
