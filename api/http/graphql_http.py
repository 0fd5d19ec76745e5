"""GraphQL over HTTP: what a request must look like, and which status and media type answer it.

An ASGI application and not a Starlette view, because every request of the service passes here. A connection
calls the same functions without ASGI (api/http/protocols/exchange.py), so both make the same checks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Final, Literal

from starlette.requests import Request as PageRequest

from api.auth.access import Client, authorization
from api.auth.csrf import combined
from api.auth.scopes import ANONYMOUS, UNRESTRICTED, Caller
from api.engine.execution.executor import Executor
from api.engine.operation_type import MUTATIONS, QUERIES, SUBSCRIPTIONS
from api.engine.request import Request, from_body, from_query_string, parameters
from api.errors import Formatted, RequestError, bad_request
from api.http.content_negotiation import HTML, JSON, RESPONSE, STREAM, is_json, negotiate
from api.http.graphql_sse import only, send_stream
from api.http.response import EncodedResponse
from api.trace import Trace

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from api.auth.access import Access
    from api.auth.csrf import Headers
    from api.engine.operation_type import OperationTypes
    from api.limits import Limits

PATH: Final = b"/graphql"

Page = Callable[[PageRequest], "Response"]
Profile = Literal["compatible", "strict"]

Results = AsyncGenerator[Formatted, None]
"""The responses of an event stream."""

_ALLOWED = {"GET": QUERIES, "POST": QUERIES | MUTATIONS}
_COMPATIBLE: Final = {294: 200, 422: 400}
"""What clients expect that are older than the draft of August 2026, by the status it wants."""
_STATUSES: Final[dict[Profile, dict[int, int]]] = {"compatible": _COMPATIBLE, "strict": {}}
_WITHOUT_PAGE: Final = (JSON, RESPONSE, STREAM)
_WITH_PAGE: Final = (*_WITHOUT_PAGE, HTML)
_ASKING = {"query", "documentId", "extensions"}
"""A browser that opens the address with none of these wants the page."""


class Disconnected(Exception):
    """The connection ended before the request was complete, so no response can be sent."""


class GraphQLOverHTTP:
    """The endpoint for GET and POST: an ASGI application, and its parts for connections without ASGI."""

    def __init__(
        self,
        executor: Executor,
        limits: Limits,
        access: Access,
        page: Page | None,
        closing: asyncio.Event,
        profile: Profile = "compatible",
    ) -> None:
        """`page` is sent to a browser that opens the address without a query. `closing` ends the event
        streams that are open. `profile` decides the statuses of graphql-response+json."""
        self._statuses = _STATUSES[profile]
        self._executor = executor
        self._access = access
        self._closing = closing
        self._limits = limits
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = combined(scope["headers"])
        with self.trace(headers):
            try:
                response = await self.respond(scope, headers, receive)
            except Disconnected:
                return
            await self.send(response, scope, receive, send)

    def takes(self, method: bytes, target: bytes, headers: Headers) -> bool:
        """Returns True if the response to this request needs no routing and no middleware.

        CORS is a middleware, so requests of pages pass it where other origins are allowed. All that it would
        add to the response to another request is `Vary: Origin`, which no-store makes needless.
        """
        is_post = method == b"POST" and target == PATH
        return is_post and not (self._access.origins and b"origin" in headers)

    @staticmethod
    def scope(headers: list[tuple[bytes, bytes]], client: Client) -> Scope:
        """Returns as much of the scope of a request that `takes` accepted as `respond` needs."""
        return {
            "type": "http",
            "method": "POST",
            "path": "/graphql",
            "query_string": b"",
            "headers": headers,
            "client": client,
        }

    @staticmethod
    def trace(headers: Headers) -> Trace:
        """Returns the trace that the request belongs to, by its header traceparent."""
        given = headers.get(b"traceparent")
        return Trace(given.decode("latin-1") if given else None)

    async def respond(
        self, scope: Scope, headers: Headers, receive: Receive, body: bytes | None = None
    ) -> EncodedResponse | Results | Page:
        """Executes the request of this scope; `headers` are those of the scope. Raises Disconnected.

        `body` is the whole body if it has arrived; otherwise it is received.
        """
        media, caller, method = JSON, ANONYMOUS, scope["method"]
        try:
            media = _media(scope, headers, self._page)
            if media == HTML and self._page is not None:
                return self._page
            self._access.check_page(headers, method)
            caller = await self._caller(scope) if not self._access.is_open else UNRESTRICTED
            if method == "GET":
                request = from_query_string(scope["query_string"])
            else:
                limit = self._limits.body_bytes
                _check_body(headers, limit)
                if body is None or len(body) > limit:
                    body = await _body(receive, limit)
                request = from_body(body)
        except Disconnected:
            raise
        except Exception as error:
            return self._instead(media, self._executor.refuse(error, caller))
        allowed = _ALLOWED[method]
        try:
            if media == STREAM:
                return self._results(request, allowed | SUBSCRIPTIONS, caller)
            return self._told(media, await self._executor.execute(request, allowed, caller))
        except RequestError as error:
            return self._instead(media, error)
        except Exception as error:
            return self._instead(media, self._executor.refuse(error, caller))

    async def _caller(self, scope: Scope) -> Caller:
        token = authorization(scope["headers"])
        return await self._access.caller(token, scope.get("client"))

    async def send(
        self, response: EncodedResponse | Results | Page, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Sends what `respond` has returned."""
        if isinstance(response, EncodedResponse):
            await response.send(send)
        elif isinstance(response, AsyncGenerator):
            keep_alive = self._limits.keep_alive_seconds
            await send_stream(response, receive, send, keep_alive, self._closing)
        else:
            await response(PageRequest(scope, receive))(scope, receive, send)

    def _told(self, media: str, response: Formatted) -> EncodedResponse:
        in_part = media == RESPONSE and "errors" in response
        return EncodedResponse.of(self._status(294) if in_part else 200, media, response)

    def _instead(self, media: str, error: RequestError) -> EncodedResponse:
        """Returns the response to a request that gets no data."""
        media = RESPONSE if media == RESPONSE else JSON
        return EncodedResponse.of(self._refusal(media, error), media, error.response, error.header)

    def _refusal(self, media: str, error: RequestError) -> int:
        if media == RESPONSE:
            return self._status(error.status)
        return 200 if error.well_formed else _COMPATIBLE.get(error.status, error.status)

    def _status(self, exact: int) -> int:
        return self._statuses.get(exact, exact)

    def _results(
        self, request: Request, allowed: OperationTypes, caller: Caller
    ) -> AsyncGenerator[Formatted, None]:
        try:
            return self._executor.stream(request, allowed, caller)
        except RequestError as error:
            if not error.well_formed:
                raise
            return only(error.response)  # an EventSource cannot read the body of another status


def _media(scope: Scope, headers: Headers, page: Page | None) -> str:
    """The media type of the response. Raises BAD_REQUEST with 405 or 406."""
    if scope["method"] not in _ALLOWED:
        raise bad_request("GraphQL is asked with GET or POST.", 405)
    accept = headers.get(b"accept") or b"*/*"
    opens = page is not None and scope["method"] == "GET" and not _asks(scope)
    media = negotiate(accept, _WITH_PAGE if opens else _WITHOUT_PAGE)
    if media is None:
        raise bad_request(f"Answers come as {JSON}, {RESPONSE} or {STREAM}; accept one.", 406)
    return media


def _asks(scope: Scope) -> bool:
    return not _ASKING.isdisjoint(parameters(scope["query_string"]))


def _check_body(headers: Headers, limit: int) -> None:
    """Raises BAD_REQUEST for a body that is not JSON, is compressed, or says that it is too long."""
    coding = headers.get(b"content-encoding", b"")
    if coding and coding.strip().lower() != b"identity":  # a few bytes could become very many
        raise bad_request(
            "A body with a Content-Encoding is not decoded: send it as it is.",
            415,
            (b"accept-encoding", b"identity"),
        )
    if not is_json(headers.get(b"content-type", b"")):
        raise bad_request("The Content-Type must be application/json, in UTF-8.", 415)
    if _declared(headers) > limit:
        raise _too_long(limit)


async def _body(receive: Receive, limit: int) -> bytes:
    """Returns the whole body. It is counted while it arrives, because its declared length may be a lie."""
    body = b""
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


def _declared(headers: Headers) -> int:
    """The length that the body is said to have; 0 if none is."""
    declared = headers.get(b"content-length", b"")
    return int(declared[:20]) if declared.isdigit() else 0


def _too_long(limit: int) -> RequestError:
    return bad_request(f"The body is longer than {limit} bytes.", 413)
