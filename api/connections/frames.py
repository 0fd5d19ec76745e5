"""The bytes of WebSockets, as uvicorn and wsproto read them, and an answer to those that are none."""

from __future__ import annotations

from dataclasses import replace

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Request

_NO_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Frames(WSProtocol):
    """Closes with the code of RFC 6455 (1002, 1007), where uvicorn just drops the connection (1006)."""

    def data_received(self, data: bytes) -> None:
        """A handshake whose headers are no text must not raise: its connection would be counted for ever."""
        try:
            super().data_received(data)
        except UnicodeError:
            if self.handshake_complete:
                raise
            self.transport.write(_NO_HANDSHAKE)
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        """With the host as the client sent it; wsproto makes `bücher.example` of `xn--bcher-kva.example`."""
        host = event.host if event.host.isascii() else event.host.encode("idna").decode()
        super().handle_connect(replace(event, host=host))

    def handle_close(self, event: CloseConnection) -> None:
        """Of a close that the client sent, or that wsproto came to: then nobody has told the client."""
        if not self.close_sent and self.conn.state is ConnectionState.OPEN:
            told = CloseConnection(code=event.code, reason=event.reason)
            self.transport.write(self.conn.send(told))
        super().handle_close(event)
