"""GraphQL over HTTP: what a request must look like, and which status and media type answer it.

An ASGI application and not a Starlette view, because every request of the service passes here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from starlette.requests import Request as PageRequest

from api.access.headers import ALWAYS
from api.access.scopes import NOBODY, Caller
from api.documents.kinds import MUTATIONS, QUERIES, SUBSCRIPTIONS
from api.documents.request import Request, from_body, from_query_string, parameters
from api.errors import Formatted, RequestError, bad_request, mask
from api.operations.execution import Executor
from api.operations.failures import tell
from api.trace import Trace
from api.transport.media import HTML, JSON, RESPONSE, STREAM, is_json, negotiate
from api.transport.sse import only, send_stream

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from api.access.door import Access
    from api.access.origin import Headers
    from api.documents.kinds import Kinds
    from api.limits import Limits

Page = Callable[[PageRequest], "Response"]
Profile = Literal["compatible", "strict"]

_ALLOWED = {"GET": QUERIES, "POST": QUERIES | MUTATIONS}
_COMPATIBLE: Final = {294: 200, 422: 400}
"""What clients expect that are older than the draft of August 2026, by the status it wants."""
_STATUSES: Final[dict[Profile, dict[int, int]]] = {"compatible": _COMPATIBLE, "strict": {}}
_ASKING = {"query", "documentId", "extensions"}
"""A browser that opens the address with none of these wants the page."""
_MORE = {
    405: (b"allow", b"POST, GET"),
    413: (b"connection", b"close"),  # the rest of the body would have to be read otherwise
    503: (b"retry-after", b"1"),
}
_TYPES: Final = {
    media: (b"content-type", f"{media}; charset=utf-8".encode()) for media in (JSON, RESPONSE)
}
_encode = msgspec.json.Encoder().encode


class Disconnected(Exception):
    """The client went away before its request was complete, so there is nobody to answer."""


class GraphQLOverHTTP:
    """Answers GET and POST. A browser that opens the address without a query gets `page`, if there is one."""

    def __init__(
        self,
        executor: Executor,
        limits: Limits,
        access: Access,
        page: Page | None,
        closing: asyncio.Event,
        profile: Profile = "compatible",
    ) -> None:
        """`closing` ends the event streams that are open. `profile` is about graphql-response+json."""
        self._statuses = _STATUSES[profile]
        self._executor = executor
        self._access = access
        self._closing = closing
        self._limits = limits
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = dict(scope["headers"])
        with Trace(headers.get(b"traceparent", b"").decode("latin-1")):
            await self._answer(scope, headers, receive, send)

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        media = JSON
        try:
            media = _media(scope, self._page)
            if media == HTML and self._page is not None:
                return await self._page(PageRequest(scope, receive))(scope, receive, send)
            request, caller = await self._admit(scope, headers, receive)
            allowed = _ALLOWED[scope["method"]]
            if media == STREAM:
                results = self._results(request, allowed | SUBSCRIPTIONS, caller)
                keep_alive = self._limits.keep_alive_seconds
                return await send_stream(results, receive, send, keep_alive, self._closing)
            response = await self._executor.execute(request, allowed, caller)
        except RequestError as error:
            media = RESPONSE if media == RESPONSE else JSON
            await _send(send, self._refusal(media, error), media, error.response, error.header)
        except Disconnected:
            return None
        except Exception as error:
            await _send(send, 500, media, {"errors": [mask(error)]})
        else:
            partial = media == RESPONSE and "errors" in response
            await _send(send, self._status(294) if partial else 200, media, response)

    def _refusal(self, media: str, error: RequestError) -> int:
        if media == RESPONSE:
            return self._status(error.status)
        return 200 if error.well_formed else _COMPATIBLE.get(error.status, error.status)

    def _status(self, exact: int) -> int:
        return self._statuses.get(exact, exact)

    async def _admit(
        self, scope: Scope, headers: Headers, receive: Receive
    ) -> tuple[Request, Caller]:
        """What is asked, and who asks. Who may not is told before the body is read."""
        caller = NOBODY
        try:
            self._access.check_page(headers, scope["method"])
            caller = await self._access.by_header(scope)
            return await self._read(scope, headers, receive), caller
        except RequestError as error:
            tell(error.errors, caller)
            raise

    async def _read(self, scope: Scope, headers: Headers, receive: Receive) -> Request:
        if scope["method"] == "GET":
            return from_query_string(scope["query_string"])
        if not is_json(headers.get(b"content-type", b"")):
            raise bad_request("The Content-Type must be application/json, in UTF-8.", 415)
        return from_body(await _body(headers, receive, self._limits.body_bytes))

    def _results(
        self, request: Request, allowed: Kinds, caller: Caller
    ) -> AsyncGenerator[Formatted, None]:
        try:
            return self._executor.stream(request, allowed, caller)
        except RequestError as error:
            if not error.well_formed:
                raise
            return only(error.response)  # an EventSource cannot read the body of another status


def _media(scope: Scope, page: Page | None) -> str:
    """The media type of the response. Raises BAD_REQUEST with 405 or 406."""
    if scope["method"] not in _ALLOWED:
        raise bad_request("GraphQL is asked with GET or POST.", 405)
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept") or b"*/*"
    opens = page is not None and scope["method"] == "GET" and not _asks(scope)
    media = negotiate(accept, (JSON, RESPONSE, STREAM, HTML) if opens else (JSON, RESPONSE, STREAM))
    if media is None:
        raise bad_request(f"Answers come as {JSON}, {RESPONSE} or {STREAM}; accept one.", 406)
    return media


def _asks(scope: Scope) -> bool:
    return not _ASKING.isdisjoint(parameters(scope["query_string"]))


async def _body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """The whole body. It is counted while it arrives, because its declared length may be a lie."""
    body = b""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise _too_long(limit)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > limit:
            raise _too_long(limit)
        if not message.get("more_body", False):
            return body


def _too_long(limit: int) -> RequestError:
    return bad_request(f"The body is longer than {limit} bytes.", 413)


async def _send(
    send: Send,
    status: int,
    media: str,
    response: Formatted,
    more: tuple[bytes, bytes] | None = None,
) -> None:
    body = _encode(response)
    headers = [_TYPES[media], (b"content-length", b"%d" % len(body))]
    if more := more or _MORE.get(status):
        headers.append(more)
    headers += ALWAYS
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
