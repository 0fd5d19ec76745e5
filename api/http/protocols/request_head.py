"""The request line and header fields of one request, and the checks that httptools leaves to the server.

A head is refused if it is too large, or if two servers could read it in different ways (RFC 9112).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

from api.auth.csrf import combine_headers
from api.http.protocols.response_heads import (
    CONNECT,
    EXPECTATION_FAILED,
    FIELDS_TOO_LARGE,
    HOST_NEEDED,
    TRANSFER_CODING,
    TRANSFER_CODING_UNKNOWN,
    VERSION_NOT_SUPPORTED,
    Header,
    RefusedRequest,
)

MAX_HEAD_BYTES: Final = 32 * 1024
"""Bytes of a request line with its header fields."""

MAX_FIELDS: Final = 100
"""Header fields of a request."""

_DELIMITER_BYTES: Final = 4
"""Bytes around the name and the value of a field: colon, space, line end."""

_HOST: Final = re.compile(
    rb"(?:\[[0-9a-f:.]+\]|[\w\-.~!$&'()*+,;=%]*)(?::[0-9]*)?", re.ASCII | re.IGNORECASE
)

_MAX_HOST_BYTES: Final = 300
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
        """True if this server performs the upgrade that the request demands."""
        fields = self.fields
        return (
            self.method == b"GET"
            and self.version == "1.1"
            and fields.get(b"upgrade", b"").strip().lower() == b"websocket"
            and fields.get(b"content-length", b"0").strip(b" \t0") == b""
            and b"transfer-encoding" not in fields
        )

    def combined_headers(self) -> dict[bytes, bytes]:
        """Returns the values by name, those of a repeated field joined by commas."""
        return (
            self.fields if len(self.fields) == len(self.headers) else combine_headers(self.headers)
        )

    def serialized(self, *, without: Iterable[bytes] = ()) -> bytes:
        """Returns the bytes of this head, except for the header fields of these names."""
        lines = [b"%b %b HTTP/%b" % (self.method, self.target, self.version.encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] not in without]
        return b"\r\n".join([*lines, b"", b""])


def check_head(head: Head, *, is_counted: bool) -> None:
    """Raises RefusedRequest for a head that is too large, or that another server may read differently.

    A head that arrived in one slice is small enough without being counted.
    """
    headers = head.headers
    if len(headers) > MAX_FIELDS or (is_counted and _head_bytes(head) > MAX_HEAD_BYTES):
        raise RefusedRequest(FIELDS_TOO_LARGE)
    if head.version not in ("1.1", "1.0"):
        raise RefusedRequest(VERSION_NOT_SUPPORTED)
    if head.method == b"CONNECT":
        raise RefusedRequest(CONNECT)
    _check_host(head)
    if b"transfer-encoding" in head.fields:
        _check_transfer_coding(head)
    if head.expects_continue and not all(
        value.lower() == b"100-continue" for name, value in headers if name == b"expect"
    ):
        raise RefusedRequest(EXPECTATION_FAILED)


def _head_bytes(head: Head) -> int:
    line_bytes = len(head.method) + len(head.target) + len(b"  HTTP/1.1\r\n\r\n")
    return line_bytes + field_bytes(head.headers)


def field_bytes(fields: list[Header]) -> int:
    """Returns the bytes that these fields take in a message."""
    return sum(len(name) + len(value) + _DELIMITER_BYTES for name, value in fields)


def _check_host(head: Head) -> None:
    """Raises RefusedRequest unless there is one valid Host (RFC 9112, 3.2), and the target has no other."""
    host = head.fields.get(b"host")
    if host is None:
        if head.version == "1.1":
            raise RefusedRequest(HOST_NEEDED)
        return
    has_repeated_field = len(head.fields) < len(head.headers)
    if has_repeated_field and sum(name == b"host" for name, _ in head.headers) > 1:
        raise RefusedRequest(HOST_NEEDED)
    if len(host) > _MAX_HOST_BYTES or not _is_host(host):
        raise RefusedRequest(HOST_NEEDED)
    if not head.target.startswith(b"/") and head.target != b"*":
        _, _, authority_and_path = head.target.partition(b"://")
        if re.split(rb"[/?#]", authority_and_path, maxsplit=1)[0].lower() != host.lower():
            raise RefusedRequest(HOST_NEEDED)


@lru_cache(maxsize=256)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def _check_transfer_coding(head: Head) -> None:
    """Raises RefusedRequest unless the coding is `chunked` alone, in HTTP/1.1 (RFC 9112, 6.1 and 6.3)."""
    values = [value for name, value in head.headers if name == b"transfer-encoding"]
    codings = [coding.strip().lower() for value in values for coding in value.split(b",")]
    if any(coding not in (b"chunked", b"") for coding in codings):
        raise RefusedRequest(TRANSFER_CODING_UNKNOWN)
    if head.version == "1.0" or codings != [b"chunked"]:
        raise RefusedRequest(TRANSFER_CODING)
