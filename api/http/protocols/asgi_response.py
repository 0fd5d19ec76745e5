"""Writes the messages of an ASGI application as a response of HTTP/1.1 or 1.0."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from api.http.protocols.response_heads import serialize_head

if TYPE_CHECKING:
    from starlette.types import Message

    from api.http.protocols.exchange import Exchange
    from api.http.protocols.http_protocol import HTTPConnection

_ILLEGAL: Final = re.compile(rb"[\r\n\0]")


class ASGIResponse:
    """The response of one exchange.

    Without Content-Length the body is sent in chunks; in HTTP/1.0 the end of the connection ends it.
    """

    def __init__(self, exchange: Exchange, connection: HTTPConnection) -> None:
        self._exchange = exchange
        self._connection = connection
        self._has_body = True
        self._remaining: int | None = None
        """Bytes of the body that are still to be sent; None without Content-Length."""
        self._is_chunked = False

    async def send(self, message: Message) -> None:
        """Waits until the connection has drained, and writes the message (ASGI's send)."""
        exchange = self._exchange
        await self._connection.drained()
        if exchange.disconnected:
            return
        if exchange.finished:
            raise RuntimeError("The response is already complete.")
        if not exchange.started:
            self._send_head(message["status"], message.get("headers", []))
        else:
            self._send_body(message.get("body", b""), more=message.get("more_body", False))

    def _send_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        exchange, fields = self._exchange, {name.lower(): value for name, value in headers}
        if any(_ILLEGAL.search(name + value) for name, value in headers):
            raise ValueError("A response header contains a line end.")
        head = exchange.head
        assert head is not None
        self._has_body = head.method != b"HEAD" and status not in (204, 304)
        if (length := fields.get(b"content-length")) is not None:
            self._remaining = int(length)
        self._is_chunked = self._has_body and self._remaining is None and head.version == "1.1"
        if self._is_chunked:
            headers = [*headers, (b"transfer-encoding", b"chunked")]
        is_unbounded = self._has_body and self._remaining is None and not self._is_chunked
        line = exchange.begin(closes=is_unbounded or fields.pop(b"connection", b"") == b"close")
        headers = [header for header in headers if header[0].lower() != b"connection"]
        self._connection.write(serialize_head(status, headers, line))

    def _send_body(self, part: bytes, *, more: bool) -> None:
        if self._has_body:
            self._write(part, more=more)
        self._exchange.finished = not more

    def _write(self, part: bytes, *, more: bool) -> None:
        if self._remaining is not None:
            self._remaining -= len(part)
            if self._remaining < 0 or (self._remaining > 0 and not more):
                raise RuntimeError("The length of the body differs from Content-Length.")
        if self._is_chunked:
            part = b"%x\r\n%b\r\n" % (len(part), part) if part else b""
            part += b"" if more else b"0\r\n\r\n"
        if part:
            self._connection.write(part)
