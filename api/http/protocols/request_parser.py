"""Feeds every byte of a connection to httptools, in order, and checks what RFC 9112 leaves to the server.

httptools alone decides where a message begins and ends. This module counts bytes that carry no content
(headers, trailers, chunk extensions), ignores the values of trailers, and refuses messages whose framing
two servers could read in different ways.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import httptools
import msgspec

from api.auth.csrf import combined
from api.http.protocols.response_heads import (
    CONNECT,
    EXPECTATION_FAILED,
    FIELDS_TOO_LARGE,
    FRAMING_TOO_LARGE,
    HOST_NEEDED,
    MALFORMED,
    TRANSFER_CODING,
    TRANSFER_CODING_UNKNOWN,
    VERSION_NOT_SUPPORTED,
    Header,
    RefusedRequest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.http.protocols.http_protocol import HTTPConnection

SLICE: Final = 4 * 1024
"""Bytes that are fed at once. Limits are checked between slices, so one slice may pass a limit."""

HEADER_BYTES: Final = 32 * 1024
"""Most bytes of a request line with its header fields."""

HEADER_FIELDS: Final = 100
"""Most header fields of a request."""

FRAMING_BYTES: Final = 8 * 1024
"""Most bytes of chunk extensions and trailers of a request."""

_CHUNK: Final = 20
"""Bytes of framing that a chunk may have: 16 digits, and two line ends."""

_SEPARATORS: Final = 4
"""Bytes around the name and the value of a field: colon, space, line end."""

_HOST: Final = re.compile(
    rb"(?:\[[0-9a-f:.]+\]|[\w\-.~!$&'()*+,;=%]*)(?::[0-9]*)?", re.ASCII | re.IGNORECASE
)

_MAX_HOST_LENGTH: Final = 300
"""Bytes of a Host: a name of 253, a colon and a port."""


class Head(msgspec.Struct, gc=False):
    """A request line with its header fields. `fields` has the last value of each name in `headers`."""

    method: bytes
    target: bytes
    version: str
    headers: list[Header]
    fields: dict[bytes, bytes]

    @property
    def expects_continue(self) -> bool:
        """True if the client waits for 100 Continue before it sends the body (RFC 9110, 10.1.1)."""
        return self.version == "1.1" and b"expect" in self.fields

    @property
    def opens_websocket(self) -> bool:
        """True if this server performs the upgrade that the request asks for."""
        fields = self.fields
        return (
            self.method == b"GET"
            and self.version == "1.1"
            and fields.get(b"upgrade", b"").strip().lower() == b"websocket"
            and fields.get(b"content-length", b"0").strip(b" \t0") == b""
            and b"transfer-encoding" not in fields
        )

    def combined(self) -> dict[bytes, bytes]:
        """Returns the values by name, those of a repeated field joined by commas."""
        return self.fields if len(self.fields) == len(self.headers) else combined(self.headers)

    def serialized(self, *, without: Iterable[bytes] = ()) -> bytes:
        """Returns the bytes of this head, except for the header fields of these names."""
        lines = [b"%b %b HTTP/%b" % (self.method, self.target, self.version.encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] not in without]
        return b"\r\n".join([*lines, b"", b""])


class WebSocketUpgrade(Exception):
    """The head asks for a WebSocket; `rest` are the bytes that follow it."""

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
        self._messages = 0
        self._connection = connection
        self._parser = httptools.HttpRequestParser(self)
        self._closed = False
        self._target = b""
        self._headers: list[Header] = []
        self._head_bytes = 0
        self._framing_bytes = 0
        self._trailer_bytes = 0
        self._slice = b""
        self._slice_content = 0
        self._slice_chunks = 0

    def feed(self, data: bytes) -> None:
        """Parses at most SLICE bytes. Raises RefusedRequest, after which nothing more may be fed, or
        WebSocketUpgrade."""
        phase = self.phase
        self._slice = data
        self._slice_content = self._slice_chunks = 0
        rest = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            raise _cause(error) from None
        except httptools.HttpParserError:
            if not self._closed:  # bytes after a message with `Connection: close` are ignored
                raise RefusedRequest(MALFORMED) from None
        if rest is not None:
            self._upgrade(rest)  # not while an exception is handled: _cause needs its own context
            return
        if self.phase == 0:
            return
        if self.phase % 2 == 0:
            self._count_head(len(data))
        elif phase == self.phase:
            self._count_trailers()
            self._count_framing(len(data) - self._slice_content - _CHUNK * self._slice_chunks)

    def close(self) -> None:
        """Breaks the reference cycle with httptools."""
        del self._parser, self._connection

    def _upgrade(self, rest: bytes) -> None:
        """Continues as RFC 9110 (7.8) wants of a server that does not perform the upgrade.

        httptools skips the body of a request with Upgrade and has no switch for that, so a new parser reads
        the same head without this field, and then the bytes that follow it.
        """
        head = self.head
        assert head is not None
        if head.opens_websocket:
            raise WebSocketUpgrade(head, rest)
        self._parser = httptools.HttpRequestParser(self)
        again = head.serialized(without=(b"upgrade",))
        for data in (again[i : i + SLICE] for i in range(0, len(again), SLICE)):
            self.feed(data)
        if rest:
            self.feed(rest)

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEADER_BYTES + SLICE or len(self._headers) > HEADER_FIELDS:
            raise RefusedRequest(FIELDS_TOO_LARGE)

    def _count_framing(self, size: int) -> None:
        """Counts a slice that lies within one body. Slices at its ends are not counted: trailers are."""
        self._framing_bytes = max(0, self._framing_bytes + size)
        if self._framing_bytes > FRAMING_BYTES:
            raise RefusedRequest(FRAMING_TOO_LARGE)

    def _count_trailers(self) -> None:
        """Counts the trailers that have arrived, whose values are ignored."""
        found, self._headers = self._headers, []
        self._trailer_bytes += _size_of(found)
        if self._trailer_bytes > FRAMING_BYTES:
            raise RefusedRequest(FRAMING_TOO_LARGE)

    # Called by httptools

    def on_message_begin(self) -> None:
        self._messages += 1
        self.phase = 2 * self._messages
        self.head, self._target, self._headers = None, b"", []
        self._head_bytes = self._framing_bytes = self._trailer_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser, headers = self._parser, self._taken()
        version = parser.get_http_version()
        head = self.head = Head(parser.get_method(), self._target, version, headers, dict(headers))
        _check(head, self._head_bytes)
        if not parser.should_upgrade():
            self.phase += 1
            self._connection.on_request(head)

    def _taken(self) -> list[Header]:
        """Returns the header fields: names in lower case, values without the blanks that httptools leaves
        after them. Fields that follow are trailers."""
        found, self._headers = self._headers, []
        data = self._slice
        if self._head_bytes or b" \r\n" in data or b"\t\r\n" in data:
            return [(name.lower(), value.rstrip(b" \t")) for name, value in found]
        return [(name.lower(), value) for name, value in found]

    def on_body(self, part: bytes) -> None:
        self._slice_content += len(part)
        self._connection.on_content(part)

    def on_chunk_header(self) -> None:
        self._slice_chunks += 1

    def on_message_complete(self) -> None:
        if self.phase % 2:  # not of a request with Upgrade, whose body was skipped
            if self._headers:
                self._count_trailers()
            self.phase = 0
            assert self.head is not None
            # Not known before: httptools lets a trailer `Connection: close` end the connection as well.
            self._closed = self.head.version == "1.0" or not self._parser.should_keep_alive()
            self._connection.on_request_complete(is_last=self._closed)


def _cause(error: Exception) -> Exception:
    """Returns what a callback raised."""
    cause = error.__context__
    return cause if isinstance(cause, RefusedRequest) else error


def _check(head: Head, size: int) -> None:
    """Raises RefusedRequest for a head that is too large, or that others may understand differently.

    `size` is 0 for a head that came in one slice.
    """
    headers, fields = head.headers, head.fields
    if len(headers) > HEADER_FIELDS or (size and _size(head) > HEADER_BYTES):
        raise RefusedRequest(FIELDS_TOO_LARGE)
    if head.version not in ("1.1", "1.0"):
        raise RefusedRequest(VERSION_NOT_SUPPORTED)
    if head.method == b"CONNECT":
        raise RefusedRequest(CONNECT)
    _check_host(head)
    if b"transfer-encoding" in fields:
        _check_coding(head)
    if head.expects_continue and not all(
        value.lower() == b"100-continue" for name, value in headers if name == b"expect"
    ):
        raise RefusedRequest(EXPECTATION_FAILED)


def _size(head: Head) -> int:
    return _size_of(head.headers) + len(head.method) + len(head.target) + len(b"  HTTP/1.1\r\n\r\n")


def _size_of(fields: list[Header]) -> int:
    return sum(len(name) + len(value) + _SEPARATORS for name, value in fields)


def _check_host(head: Head) -> None:
    """Raises RefusedRequest unless there is one valid Host (RFC 9112, 3.2), and the target has no other."""
    host = head.fields.get(b"host")
    if host is None:
        if head.version == "1.1":
            raise RefusedRequest(HOST_NEEDED)
        return
    repeated = len(head.fields) < len(head.headers)
    if repeated and sum(name == b"host" for name, _ in head.headers) > 1:
        raise RefusedRequest(HOST_NEEDED)
    if len(host) > _MAX_HOST_LENGTH or not _is_host(host):
        raise RefusedRequest(HOST_NEEDED)
    if not head.target.startswith(b"/") and head.target != b"*":
        _, _, rest = head.target.partition(b"://")
        if re.split(rb"[/?#]", rest, maxsplit=1)[0].lower() != host.lower():
            raise RefusedRequest(HOST_NEEDED)


@lru_cache(maxsize=256)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def _check_coding(head: Head) -> None:
    """Raises RefusedRequest unless the coding is `chunked` alone, in HTTP/1.1 (RFC 9112, 6.1 and 6.3)."""
    values = [value for name, value in head.headers if name == b"transfer-encoding"]
    codings = [coding.strip().lower() for value in values for coding in value.split(b",")]
    if any(coding not in (b"chunked", b"") for coding in codings):
        raise RefusedRequest(TRANSFER_CODING_UNKNOWN)
    if head.version == "1.0" or codings != [b"chunked"]:
        raise RefusedRequest(TRANSFER_CODING)
