"""Feeds every byte of a connection to httptools, in order, and limits the bytes that are no content.

httptools alone decides where a message begins and ends. This module counts headers, trailers and chunk
extensions, ignores the values of trailers, and has every head checked (request_head.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httptools

from api.http.protocols.request_head import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    Head,
    check_head,
    field_bytes,
)
from api.http.protocols.response_heads import (
    FIELDS_TOO_LARGE,
    FRAMING_TOO_LARGE,
    MALFORMED,
    Header,
    RefusedRequest,
)

if TYPE_CHECKING:
    from api.http.protocols.http_protocol import HTTPConnection

SLICE_BYTES: Final = 4 * 1024
"""Bytes that are fed in one call. Limits are checked between slices, so one slice may pass a limit."""

MAX_FRAMING_BYTES: Final = 8 * 1024
"""Bytes of chunk extensions of a request, and of its trailers."""

_CHUNK_FRAMING_BYTES: Final = 20
"""Bytes of framing that each chunk may have: 16 digits, and two line ends."""


class WebSocketUpgrade(Exception):
    """The head demands a WebSocket; `rest` are the bytes that follow it."""

    def __init__(self, head: Head, rest: bytes) -> None:
        super().__init__()
        self.head = head
        self.rest = rest


class RequestParser:
    """The parser of one connection."""

    def __init__(self, connection: HTTPConnection) -> None:
        """`connection` receives each head, the parts of its body, and the end of the request."""
        self.phase = 0
        """0 between two messages; even within the nth head (2n), odd within the nth body (2n + 1)."""
        self.head: Head | None = None
        """The head of the message that is read now, or was read last; None until it is complete."""
        self._message_count = 0
        self._connection = connection
        self._parser = httptools.HttpRequestParser(self)
        self._is_last_message = False
        self._target = b""
        self._headers: list[Header] = []
        """Header fields until the head is complete, then trailers."""
        self._head_bytes = 0
        self._framing_bytes = 0
        self._trailer_bytes = 0
        self._slice = b""
        self._slice_content_bytes = 0
        self._slice_chunks = 0

    def feed(self, data: bytes) -> None:
        """Parses at most SLICE_BYTES. Raises WebSocketUpgrade, or RefusedRequest: then feed nothing more."""
        phase_before = self.phase
        self._slice = data
        self._slice_content_bytes = self._slice_chunks = 0
        rest = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            raise _error_of_callback(error) from None
        except httptools.HttpParserError:
            if not self._is_last_message:  # bytes after `Connection: close` are ignored
                raise RefusedRequest(MALFORMED) from None
        if rest is not None:
            self._upgrade(rest)  # after the except clause: _error_of_callback needs its own context
            return
        if self.phase == 0:
            return
        if self.phase % 2 == 0:
            self._count_head(len(data))
        elif self.phase == phase_before:
            self._count_trailers()
            chunk_framing = _CHUNK_FRAMING_BYTES * self._slice_chunks
            self._count_framing(len(data) - self._slice_content_bytes - chunk_framing)

    def close(self) -> None:
        """Breaks the reference cycle with httptools."""
        del self._parser, self._connection

    def _upgrade(self, rest: bytes) -> None:
        """Continues as RFC 9110 (7.8) demands of a server that does not perform the upgrade.

        httptools skips the body of a request with Upgrade and has no switch for that, so a new parser reads
        the same head without this field, and then the bytes that follow it.
        """
        head = self.head
        assert head is not None
        if head.opens_websocket:
            raise WebSocketUpgrade(head, rest)
        self._parser = httptools.HttpRequestParser(self)
        head_bytes = head.serialized(without=(b"upgrade",))
        for start in range(0, len(head_bytes), SLICE_BYTES):
            self.feed(head_bytes[start : start + SLICE_BYTES])
        if rest:
            self.feed(rest)

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES + SLICE_BYTES or len(self._headers) > MAX_FIELDS:
            raise RefusedRequest(FIELDS_TOO_LARGE)

    def _count_framing(self, size: int) -> None:
        """Counts a slice within one body. Slices at its ends are not counted, but their trailers are."""
        self._framing_bytes = max(0, self._framing_bytes + size)
        if self._framing_bytes > MAX_FRAMING_BYTES:
            raise RefusedRequest(FRAMING_TOO_LARGE)

    def _count_trailers(self) -> None:
        """Counts the trailers that have arrived, and discards them."""
        trailers, self._headers = self._headers, []
        self._trailer_bytes += field_bytes(trailers)
        if self._trailer_bytes > MAX_FRAMING_BYTES:
            raise RefusedRequest(FRAMING_TOO_LARGE)

    # Callbacks of httptools

    def on_message_begin(self) -> None:
        self._message_count += 1
        self.phase = 2 * self._message_count
        self.head, self._target, self._headers = None, b"", []
        self._head_bytes = self._framing_bytes = self._trailer_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser, headers = self._parser, self._take_headers()
        version = parser.get_http_version()
        head = self.head = Head(parser.get_method(), self._target, version, headers, dict(headers))
        check_head(head, is_counted=self._head_bytes > 0)
        if not parser.should_upgrade():
            self.phase += 1
            self._connection.on_request(head)

    def _take_headers(self) -> list[Header]:
        """Returns the header fields: names in lower case, values without the blanks that httptools leaves."""
        headers, self._headers = self._headers, []
        data = self._slice
        if self._head_bytes or b" \r\n" in data or b"\t\r\n" in data:
            return [(name.lower(), value.rstrip(b" \t")) for name, value in headers]
        return [(name.lower(), value) for name, value in headers]

    def on_body(self, part: bytes) -> None:
        self._slice_content_bytes += len(part)
        self._connection.on_content(part)

    def on_chunk_header(self) -> None:
        self._slice_chunks += 1

    def on_message_complete(self) -> None:
        if self.phase % 2 == 0:  # a request with Upgrade, whose body httptools has skipped
            return
        if self._headers:
            self._count_trailers()
        self.phase = 0
        assert self.head is not None
        # Not known before: httptools lets a trailer `Connection: close` end the connection as well.
        is_last = self.head.version == "1.0" or not self._parser.should_keep_alive()
        self._is_last_message = is_last
        self._connection.on_request_complete(is_last=is_last)


def _error_of_callback(error: Exception) -> Exception:
    """Returns the error that a callback has raised, which httptools wraps."""
    cause = error.__context__
    return cause if isinstance(cause, RefusedRequest) else error
