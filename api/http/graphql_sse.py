"""GraphQL over Server-Sent Events, distinct connections mode: one operation per request.

The id of an event is the version of its aggregate. An EventSource that reconnects sends the last one in the
header Last-Event-ID, and the stream resumes after it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

import msgspec

from api.engine.stream_position import StreamPosition
from api.errors import Formatted, bad_request
from api.http.result_stream import Framing

if TYPE_CHECKING:
    from api.auth.csrf import Headers

_EVENT_ID: Final = re.compile(rb"[0-9]{1,9}")
_encode = msgspec.json.Encoder().encode


def position(headers: Headers) -> StreamPosition:
    """Returns where a stream resumes. Raises BAD_REQUEST for an id that the service has not sent."""
    last = headers.get(b"last-event-id", b"")
    if last and _EVENT_ID.fullmatch(last) is None:
        raise bad_request("Last-Event-ID must be the id of an event of this stream.")
    return StreamPosition(int(last) if last else None)


async def single_result(response: Formatted) -> AsyncGenerator[Formatted, None]:
    """Yields one response."""
    yield response


def _event(response: Formatted, version: int | None = None) -> bytes:
    id_ = b"" if version is None else b"id: %d\n" % version
    return b"event: next\n%bdata: %b\n\n" % (id_, _encode(response))


EVENT_STREAM: Final = Framing(
    content_type=b"text/event-stream; charset=utf-8",
    result=_event,
    error=_event,
    complete=b"event: complete\ndata:\n\n",
    keep_alive=b":\n\n",
)
