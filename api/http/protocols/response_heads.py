"""Response heads of HTTP/1.1, and the error responses that are sent without the application."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate
from time import time
from typing import Final, NamedTuple

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.auth.security_headers import SECURITY_HEADERS
from api.errors import formatted

Header = tuple[bytes, bytes]


class ErrorResponse(NamedTuple):
    """A response that is sent instead of the application's, after which the connection closes."""

    status: int
    message: str
    headers: tuple[Header, ...] = ()
    """Header fields of this response in particular."""
    code: str = "BAD_REQUEST"

    def serialized(self, method: bytes | None = None) -> bytes:
        """Returns the response to a request of this method, if it is known; HEAD gets no body."""
        body = msgspec.json.encode({"errors": [formatted(self.code, self.message)]})
        headers = [
            (b"content-type", b"application/json; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            *self.headers,
            *SECURITY_HEADERS,
        ]
        connection = _UPGRADE if self.status == 426 else CLOSE
        return serialize_head(self.status, headers, date_line(time()) + connection) + (
            b"" if method == b"HEAD" else body
        )


class RefusedRequest(Exception):
    """The request is malformed or too large: the refusal is sent, and the connection closed."""

    def __init__(self, refusal: ErrorResponse) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


CLOSE: Final = b"connection: close\r\n"
"""The line of a response after which the connection closes."""

_UPGRADE: Final = b"connection: close, upgrade\r\n"
"""The same with status 426, whose header field Upgrade names the protocol (RFC 9110, 15.5.22)."""


def keep_alive(seconds: float) -> bytes:
    """Returns the lines that say after how many seconds an idle connection closes."""
    return b"connection: keep-alive\r\nkeep-alive: timeout=%d\r\n" % seconds


def serialize_head(status: int, headers: Iterable[Header], lines: bytes) -> bytes:
    """Returns the head of a response; `lines` are the header lines of every response."""
    own = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%b%b%b\r\n" % (STATUS_LINE[status], own, lines)


def date_line(second: float) -> bytes:
    """Returns the header line Date for a time in seconds since 1970 (RFC 9110, 6.6.1)."""
    return b"date: %b\r\n" % formatdate(second, usegmt=True).encode()


MALFORMED: Final = ErrorResponse(400, "Malformed HTTP request.")
INCOMPLETE: Final = ErrorResponse(400, "The request ended before it was complete.")
HOST_NEEDED: Final = ErrorResponse(
    400, "A request needs one valid Host header, and the same host in its target."
)
TRANSFER_CODING: Final = ErrorResponse(
    400, "Transfer-Encoding may only be chunked, once, and in HTTP/1.1."
)
TIMEOUT: Final = ErrorResponse(408, "The request did not arrive in time (LIMIT_REQUEST_SECONDS).")
CONNECT: Final = ErrorResponse(
    405, "This server is not a proxy: CONNECT is not supported.", ((b"allow", b""),)
)
EXPECTATION_FAILED: Final = ErrorResponse(417, "Expect may only be 100-continue.")
FIELDS_TOO_LARGE: Final = ErrorResponse(
    431, "The headers are longer than 32768 bytes or 100 fields."
)
FRAMING_TOO_LARGE: Final = ErrorResponse(
    431, "The chunk extensions and trailers are longer than 8192 bytes."
)
TRANSFER_CODING_UNKNOWN: Final = ErrorResponse(
    501, "This Transfer-Encoding is not supported: send chunked, or Content-Length."
)
VERSION_NOT_SUPPORTED: Final = ErrorResponse(505, "The version of HTTP must be 1.1 or 1.0.")
PIPELINED_UPGRADE: Final = ErrorResponse(
    400, "A WebSocket cannot be opened while an earlier request is in progress."
)
SHUTTING_DOWN: Final = ErrorResponse(
    503, "The service is shutting down: connect again.", ((b"retry-after", b"1"),), "OVERLOADED"
)
