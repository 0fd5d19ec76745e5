"""A WebSocket connection with limits on the frames of a client per second, and on how slowly it may read."""

from __future__ import annotations

import asyncio
from typing import Any

from wsproto.events import BytesMessage, Ping, Pong, Request, TextMessage

from api.http.protocols.unsent_bytes import UnsentBytes
from api.http.protocols.websocket_frames import WebSocketFrames
from api.http.protocols.write_timeout import WriteTimeout
from api.http.websocket_close_codes import MESSAGE_TOO_BIG, PONG_TIMEOUT, TOO_MANY_FRAMES, TOO_SLOW

_SLICE = 4 * 1024
"""Bytes that are parsed in one turn of the event loop: some 700 of the shortest frames, 20 ms."""


class WebSocketConnection(WebSocketFrames):
    """uvicorn's WebSocket protocol with limits on frames, messages, slow reading, pongs and unsent bytes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._unsent_bytes: UnsentBytes = self.config.context.unsent_bytes  # type: ignore[attr-defined]
        self._unparsed = b""
        self._is_connecting = False
        self._is_scheduled = False
        self._is_paused = False
        self._second = 0
        self._frames = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._write_timeout = WriteTimeout(transport, self._limits.send_seconds)
        self._unsent_bytes.connected(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._write_timeout.disable()
        self._unsent_bytes.resumed(self.transport)
        self._unparsed = b""
        super().connection_lost(exc)

    # Reading

    def upgrade(self, handshake: bytes, rest: bytes) -> None:
        """Reads a handshake, and the bytes after it once the application has accepted.

        The handshake is fed whole, because wsproto refuses one that is incomplete after 16 KiB.
        """
        super().data_received(handshake)
        self.data_received(rest)

    def data_received(self, data: bytes) -> None:
        if self.close_sent:
            return
        self._unparsed += data
        if not self._is_scheduled and not self._is_busy():
            self._parse()

    def _parse(self) -> None:
        """Parses one slice, and schedules the rest."""
        self._is_scheduled = False
        if self.close_sent or self.transport.is_closing():
            self._unparsed = b""
            return
        part, self._unparsed = self._unparsed[:_SLICE], self._unparsed[_SLICE:]
        super().data_received(part)
        self._continue_parsing()

    def _continue_parsing(self) -> None:
        if self._is_scheduled or self._is_busy() or self.transport.is_closing():
            return
        if self._unparsed and not self.close_sent:
            self.transport.pause_reading()
            self._is_scheduled = self._is_paused = True
            self.loop.call_soon(self._parse)
        elif self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()

    def _is_busy(self) -> bool:
        """True while the application has to accept the connection, or to receive parsed messages."""
        return (self.read_paused or self._is_connecting) and not self.close_sent

    async def receive(self) -> Any:
        message = await super().receive()
        if self._unparsed:
            self._continue_parsing()
        return message

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        self._is_connecting = True

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self._is_connecting:
            self._is_connecting = False
            self._continue_parsing()  # with frames that were sent with the handshake

    def handle_message(self, event: TextMessage | BytesMessage) -> None:
        if not self._count_frame():
            return
        data = event.data.encode() if isinstance(event.data, str) else event.data
        if self.buffer.length + len(data) > self.buffer.max_length:
            self.close(MESSAGE_TOO_BIG)
        else:
            super().handle_message(event)

    def handle_ping(self, event: Ping) -> None:
        # Pongs would accumulate for a client that sends pings and does not read.
        if self._count_frame() and self.writable.is_set():
            super().handle_ping(event)

    def handle_pong(self, event: Pong) -> None:
        if self._count_frame():
            super().handle_pong(event)

    def _count_frame(self) -> bool:
        """Counts a frame. Returns False, and closes the connection, if there are too many in this second."""
        second = int(self.loop.time())
        if second != self._second:
            self._second, self._frames = second, 0
        self._frames += 1
        if self._frames <= self._limits.frames:
            return True
        self.close(TOO_MANY_FRAMES)
        return False

    # Writing

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timeout.start(lambda: self.close(TOO_SLOW))
        self._unsent_bytes.paused(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unsent_bytes.resumed(self.transport)
        if not self.transport.is_closing():
            self._write_timeout.stop()

    def _write(self, data: bytes) -> None:
        super()._write(data)
        if not self.writable.is_set():
            self._unsent_bytes.check()

    def keepalive_timeout(self) -> None:
        if self.writable.is_set():
            self.close(PONG_TIMEOUT)
        else:  # the ping waits behind other bytes, for which the write timeout holds
            self.pong_timer = self.loop.call_later(
                self._limits.ping_seconds, self.keepalive_timeout
            )

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.scope["extensions"] = {}  # `drain` refers to the connection
        self._write_timeout.abort_unless_flushed()
