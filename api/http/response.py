"""A response of GraphQL over HTTP: as messages of ASGI, or as the bytes of HTTP/1.1."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.auth.security_headers import SECURITY_HEADERS
from api.errors import Formatted
from api.http.content_negotiation import JSON, RESPONSE

if TYPE_CHECKING:
    from starlette.types import Send

Header = tuple[bytes, bytes]

TYPES: Final = {
    media: (b"content-type", f"{media}; charset=utf-8".encode()) for media in (JSON, RESPONSE)
}
"""The media types that a whole answer may have."""

_MORE: Final[dict[int, Header]] = {
    405: (b"allow", b"POST, GET"),
    503: (b"retry-after", b"1"),
}
_encode = msgspec.json.Encoder().encode


class EncodedResponse(NamedTuple):
    """`media` is one of TYPES; `more` is a header that this status does not have by itself."""

    status: int
    media: str
    body: bytes
    more: Header | None = None

    @classmethod
    def of(
        cls, status: int, media: str, response: Formatted, more: Header | None = None
    ) -> EncodedResponse:
        return cls(status, media, _encode(response), more)

    @property
    def closes(self) -> bool:
        """True if the connection closes after it: otherwise the rest of the body would have to be read."""
        return self.status == 413

    async def send(self, send: Send) -> None:
        """Sends it as an ASGI application does."""
        length = (b"content-length", b"%d" % len(self.body))
        close = [(b"connection", b"close")] if self.closes else []
        headers = [length, *close, *_headers(self.status, self.media, self.more)]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    def serialized(self, lines: bytes) -> bytes:
        """Returns it in HTTP/1.1; `lines` are header lines that the connection adds."""
        before, after = _around(self.status, self.media, self.more)
        return b"%b%d%b%b\r\n%b" % (before, len(self.body), after, lines, self.body)


def _headers(status: int, media: str, more: Header | None) -> list[Header]:
    more = more or _MORE.get(status)
    return [TYPES[media], *([more] if more else []), *SECURITY_HEADERS]


@lru_cache(maxsize=256)
def _around(status: int, media: str, more: Header | None) -> tuple[bytes, bytes]:
    """Returns the bytes before the length of the body, and those of the other headers that are constant."""
    lines = [b"\r\n%b: %b" % header for header in _headers(status, media, more)]
    return STATUS_LINE[status] + b"content-length: ", b"".join(lines) + b"\r\n"
