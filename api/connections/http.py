"""An HTTP connection that waits so long for a request, and for a response to be read (slowloris).

A request that arrives at once, as nearly all do, arms no timer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.access.headers import ALWAYS
from api.connections.patience import Patience
from api.connections.straight import Connection, Straight

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, Scope

    from api.limits import Limits

_LONGEST_HEADERS = 64 * 1024
"""Bytes of a request line and its headers."""

_LAST = 0.5
"""Seconds for which idle connections stay open when the process ends: for a request that is on its way."""


def _answer(status: bytes, message: bytes) -> bytes:
    """What is said before there is an application to say it."""
    body = b'{"errors":[{"message":"%b","extensions":{"code":"BAD_REQUEST"}}]}' % message
    own = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    headers = b"".join(b"%b: %b\r\n" % header for header in (*own, *ALWAYS))
    return b"HTTP/1.1 %b\r\n%b\r\n%b" % (status, headers, body)


_LATE = _answer(
    b"408 Request Timeout", b"The request did not arrive in time (LIMIT_REQUEST_SECONDS)."
)
_LONG = _answer(b"431 Request Header Fields Too Large", b"The headers are longer than 65536 bytes.")
_GARBLED = _answer(b"400 Bad Request", b"This is no HTTP request that can be read.")


class HTTPConnection(Connection):
    """uvicorn's, with a time limit on headers, on bodies and on writing, and a limit on connections.

    At the end of the process every connection is told so by `connection: close`, with its last response.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits: Limits = self.config.limits  # type: ignore[attr-defined]
        self._awaited: Scope | None = None
        self._awaits_body = False
        self._header_bytes = 0
        self._upgraded = False
        self.ending = False
        self._rests_since = 0.0
        self._straight = Straight(self, self.config.heads, self.config.proxies)  # type: ignore[attr-defined]
        self._running: RequestResponseCycle | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._patience = Patience(transport, self._limits.send_seconds)
        if len(self.connections) > self._limits.connections:
            transport.abort()
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._patience.lose()
        self._tell_of_the_end()
        self._straight.lose()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self.ending = True
        if self._is_answering():
            self._shut()
        else:
            self.loop.call_later(_LAST, self._shut)

    def _shut(self) -> None:
        """A straight request closes the connection by itself, once it is answered."""
        if self._straight.running is None:
            super().shutdown()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.ending and self.cycle is not None:
            self.cycle.keep_alive = False

    def handle_websocket_upgrade(self) -> None:
        if self.ending or self._is_answering() or self.pipeline:
            # Behind an answer under way only the WebSocket would learn that its client leaves, and an event
            # stream go on for ever.
            self._leave()
            return
        self._upgraded = True
        self._patience.lose()
        super().handle_websocket_upgrade()
        self._straight.lose()  # we hear nothing any more, not even of the end

    # The request

    def data_received(self, data: bytes) -> None:
        if self._straight.takes(data):
            self._stop_timer()
            return
        begins = self._straight.begins(data)
        super().data_received(data)
        if begins:
            self._straight.learn(data)
        if self._upgraded or (self._is_in_body() and not self.cycle.more_body):
            if self._timer is not None:
                self._stop_timer()
        else:
            self._wait_for_more(len(data))

    def _is_in_body(self) -> bool:
        """Whether the headers of the newest request are complete."""
        return self.cycle is not None and self.cycle.scope is self.scope

    def _wait_for_more(self, size: int) -> None:
        """Once for each request's headers, and for its body, however often more of it arrives."""
        in_body = self._is_in_body()
        if self._timer is None or self._awaited is not self.scope or self._awaits_body != in_body:
            self._awaited, self._awaits_body = self.scope, in_body
            self._header_bytes = 0  # some of these bytes may be of the request before
            self._stop_timer()
            self._start_timer()
            return
        self._header_bytes += 0 if in_body else size
        if self._header_bytes > _LONGEST_HEADERS:
            self._refuse(_LONG)

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self._limits.request_seconds, self._not_in_time)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _not_in_time(self) -> None:
        if self.pipeline or (self._is_answering() and not self._is_in_body()):
            self._start_timer()  # the request before is still being answered
        elif self.scope is None:
            self.transport.close()  # nothing was asked
        else:
            self._refuse(_LATE)

    def _is_answering(self) -> bool:
        if self._straight.running is not None:
            return True
        return self.cycle is not None and not self.cycle.response_complete

    def send_400_response(self, _: str) -> None:
        self._refuse(_GARBLED)

    def _refuse(self, answer: bytes) -> None:
        """Answers, if nothing has been, and closes."""
        if self.transport.is_closing():
            return
        begun = self.cycle.response_started if self._is_in_body() else self._is_answering()
        if not begun and not self.pipeline:
            self.transport.write(answer)
        self._leave()

    def _leave(self) -> None:
        self._tell_of_the_end()
        self.transport.close()
        self._patience.linger()

    def _tell_of_the_end(self) -> None:
        """Whoever answers or reads the body learns that the client has left.

        That is the cycle of the newest request, and the only one that uvicorn tells; but while requests
        wait behind one another (pipelining), the one that runs is another.
        """
        for cycle in (self._running, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    # The response

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._patience.begin(self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._patience.end()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._patience.linger()

    def rest(self) -> None:
        """After a straight answer. The timer of an idle connection goes on: it looks at the time itself."""
        self.server_state.total_requests += 1
        self._rests_since = self.loop.time()
        self.flow.resume_reading()
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self._keep_alive(self.timeout_keep_alive)

    def _keep_alive(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        if self._straight.running is not None:
            self._keep_alive(self.timeout_keep_alive)
            return
        left = self._rests_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._keep_alive(left)
            return
        super().timeout_keep_alive_handler()
        self._patience.linger()
