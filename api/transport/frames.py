"""The frames of WebSockets, as uvicorn and wsproto read them, and a close code for those that are none."""

from __future__ import annotations

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection


class Frames(WSProtocol):
    """Closes with the code of RFC 6455 (1002, 1007), where uvicorn just drops the connection (1006)."""

    def handle_close(self, event: CloseConnection) -> None:
        """Of a close that the client sent, or that wsproto came to: then nobody has told the client."""
        if not self.close_sent and self.conn.state is ConnectionState.OPEN:
            told = CloseConnection(code=event.code, reason=event.reason)
            self.transport.write(self.conn.send(told))
        super().handle_close(event)
