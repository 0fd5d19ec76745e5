"""An HTTP response that refuses a WebSocket handshake."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.access.headers import ALWAYS

if TYPE_CHECKING:
    from collections.abc import Sequence

_CODES = {500: "INTERNAL", 503: "OVERLOADED"}


def refusal(status: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """Returns the bytes of the whole response, after which the connection closes."""
    error = {"message": message, "extensions": {"code": _CODES.get(status, "BAD_REQUEST")}}
    body = msgspec.json.encode({"errors": [error]})
    own = [
        (b"date", formatdate(usegmt=True).encode()),
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close, upgrade" if status == 426 else b"close"),
    ]
    lines = b"".join(b"%b: %b\r\n" % header for header in (*own, *headers, *ALWAYS))
    return b"%b%b\r\n%b" % (STATUS_LINE[status], lines, body)
