"""WebSocket handshakes and frames, read by uvicorn and wsproto; refuses and closes connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, RejectConnection, Request, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from api.http.protocols.response_heads import SHUTTING_DOWN, ErrorResponse, Header
from api.http.websocket_close_codes import FAILED, SHUTDOWN, Close
from api.limits import Limits

_SHUTDOWN_TIMEOUT_SECONDS = 1.0
"""Seconds that a client has to close its side at shutdown."""


class WebSocketFrames(WSProtocol):
    """uvicorn's WebSocket protocol, which closes with a code where uvicorn drops the connection (1006)."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits: Limits = self.config.context.limits  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Reads bytes, or discards them once the connection has been closed or refused from this side."""
        if self.close_sent:
            return
        try:
            self.conn.receive_data(data)
            self.handle_events()
        except RemoteProtocolError as error:
            self._refuse_request(str(error), error.event_hint)
        except UnicodeError:
            self.refuse(400, "The headers of the handshake are not text.")
        except LocalProtocolError:
            self.transport.close()  # sent after the client's own Close frame

    def eof_received(self) -> None:
        """Disconnects the application immediately; the transport closes when its buffer has been sent."""
        self._disconnect(Close(1006, ""))

    # Handshake

    def handle_connect(self, event: Request) -> None:
        """Restores the host as the client sent it; wsproto decodes `xn--bcher-kva.example`."""
        host = event.host if event.host.isascii() else event.host.encode("idna").decode()
        super().handle_connect(replace(event, host=host))
        self.scope["extensions"] = {"drain": {"wait": self.drain}}

    def _refuse_request(self, reason: str, hint: object) -> None:
        """Refuses a request that is not a handshake, with the status and headers that wsproto proposes."""
        proposed = hint if isinstance(hint, RejectConnection) else RejectConnection()
        headers = [(name.lower(), value) for name, value in proposed.headers]
        if proposed.status_code == 426:
            headers.append((b"upgrade", b"websocket"))
        self.refuse(proposed.status_code, f"This is not a WebSocket handshake: {reason}.", headers)

    def refuse(
        self, status: int, message: str, headers: Sequence[Header] = (), code: str = "BAD_REQUEST"
    ) -> None:
        """Refuses the handshake."""
        if not (self.handshake_complete or self.transport.is_closing()):
            response = ErrorResponse(status, message, tuple(headers), code).serialized()
            self._end(response, Close(1006, ""))

    def send_500_response(self) -> None:
        """Called by uvicorn when the application has raised."""
        self.refuse(500, "Internal error.", code="INTERNAL")
        self.close(FAILED)

    # Writing

    async def send(self, message: Any) -> None:
        """Writes a message even while the transport is paused: the application waits in `drain` before."""
        match message["type"]:
            case "websocket.close":
                self.refuse(404, "There is no WebSocket at this address.")
                self.close(Close(message["code"], message["reason"]))
            case "websocket.send" if self.handshake_complete and not self.disconnected:
                self._write(self.conn.send(TextMessage(data=message["text"])))
            case _:
                await super().send(message)

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    async def drain(self) -> bool:
        """Waits until the transport takes more. Returns False if the connection has ended instead."""
        await self.writable.wait()
        return not self.disconnected

    # Close

    def handle_close(self, event: CloseConnection) -> None:
        """Echoes the client's Close frame; closes with 1002 or 1007 where wsproto found an invalid frame."""
        close = Close(event.code, event.reason or "")
        if self.conn.state is ConnectionState.OPEN:
            self.close(close)
        elif not self.close_sent:
            self._write(self.conn.send(event.response()))
            self._disconnect(close)
            self.transport.close()

    def shutdown(self) -> None:
        """Called by uvicorn when the process ends."""
        self.refuse(
            SHUTTING_DOWN.status, SHUTTING_DOWN.message, SHUTTING_DOWN.headers, SHUTTING_DOWN.code
        )
        self.close(SHUTDOWN, _SHUTDOWN_TIMEOUT_SECONDS)

    def close(self, close: Close, timeout: float | None = None) -> None:
        """Closes with a code, whether or not the client reads.

        Waits `timeout` seconds, by default Limits.send_seconds, for the client to close its side.
        """
        if self.close_sent or self.transport.is_closing():
            return
        frame = CloseConnection(code=close.code, reason=close.reason)
        self._end(self.conn.send(frame), close, timeout)

    def _end(self, last: bytes, close: Close, timeout: float | None = None) -> None:
        """Sends the last bytes and FIN, then discards what arrives until the client closes its side.

        Closing immediately would reset the connection if bytes are unread: the client would lose the last.
        """
        self._disconnect(close)
        self.handshake_complete = self.close_sent = True
        self.close_timer = self.loop.call_later(
            timeout or self._limits.send_seconds, self.transport.abort
        )
        self._write(last)
        if self.transport.is_closing():
            return
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        try:
            self.transport.write_eof()
            self.transport.resume_reading()
        except OSError:  # asyncio's transport, if the client has reset the connection
            self.transport.abort()

    def _disconnect(self, close: Close) -> None:
        """Disconnects the application: tasks that wait to receive or to send continue."""
        self.stop_keepalive()
        self.disconnected = True
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": close.code, "reason": close.reason}
        )
        self.writable.set()
