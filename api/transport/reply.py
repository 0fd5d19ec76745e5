"""An answer of GraphQL over HTTP: as ASGI's messages, or as the very bytes of HTTP/1.1."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.access.headers import ALWAYS
from api.errors import Formatted
from api.transport.media import JSON, RESPONSE

if TYPE_CHECKING:
    from starlette.types import Send

Header = tuple[bytes, bytes]

TYPES: Final = {
    media: (b"content-type", f"{media}; charset=utf-8".encode()) for media in (JSON, RESPONSE)
}
"""The media types that a whole answer may have."""

_MORE: Final[dict[int, Header]] = {
    405: (b"allow", b"POST, GET"),
    413: (b"connection", b"close"),  # the rest of the body would have to be read otherwise
    503: (b"retry-after", b"1"),
}
_encode = msgspec.json.Encoder().encode


class Reply(NamedTuple):
    """`media` is one of TYPES; `more` is a header that this status does not have by itself."""

    status: int
    media: str
    body: bytes
    more: Header | None = None

    @classmethod
    def of(cls, status: int, media: str, response: Formatted, more: Header | None = None) -> Reply:
        return cls(status, media, _encode(response), more)

    async def send(self, send: Send) -> None:
        length = (b"content-length", b"%d" % len(self.body))
        headers = [length, *_headers(self.status, self.media, self.more)]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    def written(self, *, closes: bool) -> bytes:
        """All of it, in HTTP/1.1; `closes`: whether the connection ends with it."""
        before, behind = _around(self.status, self.media, self.more)
        last = b"connection: close\r\n" if closes else b""
        return b"%b%d%b%b\r\n%b" % (before, len(self.body), behind, last, self.body)


def _headers(status: int, media: str, more: Header | None) -> list[Header]:
    more = more or _MORE.get(status)
    return [TYPES[media], *([more] if more else []), *ALWAYS]


@lru_cache(maxsize=256)
def _around(status: int, media: str, more: Header | None) -> tuple[bytes, bytes]:
    """What stands before the length of the body, and behind it."""
    lines = [b"\r\n%b: %b" % header for header in _headers(status, media, more)]
    return STATUS_LINE[status] + b"content-length: ", b"".join(lines) + b"\r\n"
