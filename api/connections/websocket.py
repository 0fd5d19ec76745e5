"""A WebSocket connection whose client can neither flood the loop nor fill the memory by not reading."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from api.connections.frames import Frames
from api.connections.patience import Patience

if TYPE_CHECKING:
    from api.limits import Limits

_SLICE = 4 * 1024
"""Bytes that are taken apart in one turn of the loop: some 700 of the shortest frames, 20 ms."""

TOO_SLOW = (1013, "Messages are not read in time")
TOO_FAST = (1008, "Too many messages")


class WebSocketConnection(Frames):
    """uvicorn's, with a limit on frames per second, on their work at once, and on the time to write."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits: Limits = self.config.limits  # type: ignore[attr-defined]
        self._rest = b""
        self._is_due = False
        self._is_held = False
        self._is_deaf = False
        self._second = 0
        self._frames = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._patience = Patience(transport, self._limits.send_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.lose()
        self._rest = b""
        super().connection_lost(exc)

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        self._rest += data
        if not self._is_due and not self._is_busy():
            self._take()

    def _take(self) -> None:
        """Takes a slice apart, and sees to it that the rest is."""
        self._is_due = False
        if self.transport.is_closing():
            self._rest = b""
            return
        part, self._rest = self._rest[:_SLICE], self._rest[_SLICE:]
        super().data_received(part)
        self._go_on()

    def _go_on(self) -> None:
        if self._is_due or self._is_busy() or self.transport.is_closing():
            return
        if self._rest:
            self.transport.pause_reading()
            self._is_due = self._is_held = True
            self.loop.call_soon(self._take)
        elif self._is_held:
            self._is_held = False
            self.transport.resume_reading()

    def _is_busy(self) -> bool:
        """Whether messages wait for the application, which come first."""
        return self.read_paused and not self.close_sent

    async def receive(self) -> Any:
        message = await super().receive()
        if self._rest:
            self._go_on()
        return message

    def handle_message(self, event: TextMessage | BytesMessage) -> None:
        if self._counts():
            super().handle_message(event)

    def handle_ping(self, event: Ping) -> None:
        # While nobody reads, pongs would pile up.
        if self._counts() and self.writable.is_set():
            super().handle_ping(event)

    def handle_pong(self, event: Pong) -> None:
        if self._counts():
            super().handle_pong(event)

    def _counts(self) -> bool:
        """Whether this frame is not one too many of its second; then the connection closes."""
        second = int(self.loop.time())
        if second != self._second:
            self._second, self._frames = second, 0
        self._frames += 1
        if self._frames <= self._limits.frames:
            return True
        self._is_deaf = True
        self._dismiss(*TOO_FAST)
        return False

    # Writing

    def pause_writing(self) -> None:
        super().pause_writing()
        self._patience.begin(lambda: self._dismiss(*TOO_SLOW))

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._patience.end()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._patience.linger()

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if not self.disconnected:
            self._patience.linger()

    def _dismiss(self, code: int, reason: str) -> None:
        """Closes with a code, whether or not the client reads; the application sees a disconnection."""
        if self.disconnected or self.transport.is_closing():
            return
        if self.conn.state is not ConnectionState.OPEN:
            self.transport.abort()
            return
        self.stop_keepalive()
        self.close_sent = self.disconnected = True
        self._rest = b""
        self.transport.write(self.conn.send(CloseConnection(code=code, reason=reason)))
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.writable.set()  # whoever waits to send learns of it
        # What is still sent is read: to close on unread bytes would take back what was written.
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self._limits.send_seconds, self.transport.abort)
