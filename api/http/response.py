"""A response of GraphQL over HTTP, as ASGI messages or as bytes of HTTP/1.1."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
from starlette.types import Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.auth.security_headers import SECURITY_HEADERS
from api.errors import Formatted
from api.http.content_negotiation import JSON, RESPONSE

Header = tuple[bytes, bytes]

_CONTENT_TYPES: Final = {
    media: (b"content-type", f"{media}; charset=utf-8".encode()) for media in (JSON, RESPONSE)
}

_STATUS_HEADERS: Final[dict[int, Header]] = {
    405: (b"allow", b"POST, GET"),
    503: (b"retry-after", b"1"),
}
_encode = msgspec.json.Encoder().encode

Head = tuple[int, str, Header | None, tuple[Header, ...], tuple[bytes, ...]]
"""All fields of a response but its body."""


class EncodedResponse(NamedTuple):
    """A response with its encoded body. `header` replaces the one that belongs to its status.

    `extra` are further headers, and replace the security headers of their names; `vary` is the value of Vary.
    """

    status: int
    media: str
    header: Header | None = None
    extra: tuple[Header, ...] = ()
    vary: tuple[bytes, ...] = ()
    body: bytes = b""

    @classmethod
    def of(
        cls, status: int, media: str, response: Formatted, header: Header | None = None
    ) -> EncodedResponse:
        return cls(status, media, header, body=_encode(response))

    @property
    def closes(self) -> bool:
        """True if the connection closes afterwards, because the rest of a long body is not read."""
        return self.status == 413

    async def send(self, send: Send) -> None:
        """Sends the response in ASGI messages."""
        length = [(b"content-length", b"%d" % len(self.body))] if self.status != 304 else []
        close = [(b"connection", b"close")] if self.closes else []
        headers = [*length, *close, *_headers(self[:5])]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    def serialized(self, lines: bytes) -> bytes:
        """Returns the response in HTTP/1.1; `lines` are the header lines of the connection."""
        before, after = _constant_bytes(self[:5])
        return b"%b%d%b%b\r\n%b" % (before, len(self.body), after, lines, self.body)


def _headers(head: Head) -> list[Header]:
    status, media, header, extra, vary = head
    header = header or _STATUS_HEADERS.get(status)
    replaced = {name for name, _ in extra}
    return [
        *([_CONTENT_TYPES[media]] if status != 304 else []),
        *([header] if header else []),
        *extra,
        *([(b"vary", b", ".join(vary))] if vary else []),
        *(each for each in SECURITY_HEADERS if each[0] not in replaced),
    ]


@lru_cache(maxsize=256)
def _constant_bytes(head: Head) -> tuple[bytes, bytes]:
    """Returns the bytes before and after the length of the body, which are the same for many responses."""
    lines = [b"\r\n%b: %b" % field for field in _headers(head)]
    return STATUS_LINE[head[0]] + b"content-length: ", b"".join(lines) + b"\r\n"
