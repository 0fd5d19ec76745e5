"""GraphQL over HTTP: checks and parses a request, executes it, and chooses status and media type.

Every request is checked by GraphQLOverHTTP.respond: called as an ASGI application, or by a connection that
needs neither routing nor middleware (api/http/protocols/exchange.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from starlette.requests import Request as PageRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.auth.access import Access, Client, authorization
from api.auth.csrf import Headers, combine_headers
from api.auth.scopes import ANONYMOUS, UNRESTRICTED, Caller
from api.engine.execution.executor import Executor
from api.engine.operation_type import MUTATIONS, QUERIES, SUBSCRIPTIONS, OperationTypes
from api.engine.request import Request, from_body, from_query_string, parameters
from api.errors import Formatted, RequestError, bad_request
from api.http.batch import execute_batch, is_batch, requests_of
from api.http.caching import Caching
from api.http.content_negotiation import (
    HTML,
    JSON,
    MULTIPART,
    RESPONSE,
    STREAM,
    is_json,
    negotiate,
)
from api.http.graphql_multipart import MULTIPART_STREAM
from api.http.graphql_sse import EVENT_STREAM, position, single_result
from api.http.response import EncodedResponse
from api.http.result_stream import ResultStream
from api.limits import Limits
from api.trace import Trace

PATH: Final = b"/graphql"

Page = Callable[[PageRequest], "Response"]
Profile = Literal["compatible", "strict"]

_FRAMINGS: Final = {STREAM: EVENT_STREAM, MULTIPART: MULTIPART_STREAM}

_ALLOWED = {"GET": QUERIES, "POST": QUERIES | MUTATIONS}
_COMPATIBLE: Final = {294: 200, 422: 400}
"""The statuses that clients older than the draft of August 2026 expect, by those of the draft."""
_WITHOUT_PAGE: Final = (JSON, RESPONSE, STREAM, MULTIPART)
_WITH_PAGE: Final = (*_WITHOUT_PAGE, HTML)
_REQUEST_PARAMETERS = {"query", "documentId", "doc_id", "id", "extensions"}
"""A browser that opens the address with none of these gets the page."""


@dataclass(frozen=True, kw_only=True)
class HTTPOptions:
    """What the settings choose of HTTP. With the defaults nothing is added to GraphQL over HTTP."""

    profile: Profile = "compatible"
    """Decides the statuses of graphql-response+json."""
    batch_limit: int = 0
    """Operations that one body may have in a list; 0 refuses lists."""
    compress_above: int = 0
    """Bytes of a response above which it is compressed; 0 compresses none."""
    cache_control: str | None = None
    """Cache-Control of successful GET queries; without it, they are not cached."""


class Disconnected(Exception):
    """The connection ended before the request was complete, so no response is sent."""


class GraphQLOverHTTP:
    """The endpoint for GET and POST."""

    def __init__(
        self,
        executor: Executor,
        limits: Limits,
        access: Access,
        page: Page | None,
        closing: asyncio.Event,
        options: HTTPOptions,
    ) -> None:
        """`page` goes to a browser that opens the address without a query. `closing` ends open streams."""
        self._statuses: dict[int, int] = {} if options.profile == "strict" else _COMPATIBLE
        self._options = options
        self._caching = Caching(options.cache_control, access) if options.cache_control else None
        self._executor = executor
        self._access = access
        self._closing = closing
        self._limits = limits
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = combine_headers(scope["headers"])
        with self.trace(headers):
            try:
                response = await self.respond(scope, headers, receive)
            except Disconnected:
                return
            await self.send(response, scope, receive, send)

    def bypasses_app(self, method: bytes, target: bytes, headers: Headers) -> bool:
        """Returns True if the response to this request needs no routing and no middleware.

        CORS is a middleware, so it handles requests of pages if other origins are allowed. To other
        responses it would only add `Vary: Origin`, which no-store makes superfluous.
        """
        is_post = method == b"POST" and target == PATH
        return is_post and not (self._access.origins and b"origin" in headers)

    @staticmethod
    def scope(headers: list[tuple[bytes, bytes]], client: Client) -> Scope:
        """Returns the part of the scope that `respond` needs for a request that bypasses the application."""
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
        """Returns the trace of the request, from its header traceparent."""
        traceparent = headers.get(b"traceparent")
        return Trace(traceparent.decode("latin-1") if traceparent else None)

    async def respond(
        self, scope: Scope, headers: Headers, receive: Receive, body: bytes | None = None
    ) -> EncodedResponse | ResultStream | Page:
        """Executes the request of this scope; `headers` are those of the scope. Raises Disconnected.

        `body` is the whole body if it has arrived already; otherwise it is received.
        """
        media, caller, method = JSON, ANONYMOUS, scope["method"]
        try:
            media = _media(scope, headers, self._page)
            if media == HTML and self._page is not None:
                return self._page
            self._access.check_cross_site(headers, method)
            if self._access.is_unrestricted:
                caller = UNRESTRICTED
            else:
                caller = await self._caller(scope, media)
            if method == "GET":
                request = from_query_string(scope["query_string"])
            else:
                limit = self._limits.body_bytes
                _check_body(headers, limit)
                if body is None or len(body) > limit:
                    body = await _read_body(receive, limit)
                if self._options.batch_limit and is_batch(body):
                    return await self._batch_response(media, body, caller)
                request = from_body(body)
        except Disconnected:
            raise
        except Exception as error:
            return self._error_response(media, self._executor.refuse(error, caller))
        allowed = _ALLOWED[method]
        try:
            if media in _FRAMINGS:
                return await self._stream(media, headers, request, allowed | SUBSCRIPTIONS, caller)
            response = await self._executor.execute(request, allowed, caller)
            encoded = self._response(media, response)
            if self._caching is not None and method == "GET" and "errors" not in response:
                return self._caching.apply(encoded, headers, caller)
            return encoded
        except RequestError as error:
            return self._error_response(media, error)
        except Exception as error:
            return self._error_response(media, self._executor.refuse(error, caller))

    async def _caller(self, scope: Scope, media: str) -> Caller:
        token = authorization(scope["headers"])
        if media in _FRAMINGS:
            return await self._access.stream_caller(token, scope)
        return await self._access.caller(token, scope.get("client"))

    async def send(
        self,
        response: EncodedResponse | ResultStream | Page,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Sends what `respond` has returned."""
        if isinstance(response, EncodedResponse):
            await response.send(send)
        elif isinstance(response, ResultStream):
            await response.send(receive, send, self._limits.keep_alive_seconds, self._closing)
        else:
            await response(PageRequest(scope, receive))(scope, receive, send)

    def _response(self, media: str, response: Formatted) -> EncodedResponse:
        is_partial = media == RESPONSE and "errors" in response
        return EncodedResponse.of(self._status(294) if is_partial else 200, media, response)

    async def _batch_response(self, media: str, body: bytes, caller: Caller) -> EncodedResponse:
        """Returns the list of the responses. Raises BAD_REQUEST if the list itself is refused."""
        if media in _FRAMINGS:
            raise bad_request(f"A list of operations has no stream: accept {JSON}.", 406)
        requests = requests_of(body, self._options.batch_limit)
        responses = await execute_batch(self._executor, requests, self._limits, caller)
        return EncodedResponse(200, media, body=responses)

    def _error_response(self, media: str, error: RequestError) -> EncodedResponse:
        """Returns the response without data to a request that is refused."""
        media = RESPONSE if media == RESPONSE else JSON
        return EncodedResponse.of(
            self._error_status(media, error), media, error.response, error.header
        )

    def _error_status(self, media: str, error: RequestError) -> int:
        if media == RESPONSE:
            return self._status(error.status)
        return 200 if error.well_formed else _COMPATIBLE.get(error.status, error.status)

    def _status(self, draft_status: int) -> int:
        return self._statuses.get(draft_status, draft_status)

    async def _stream(
        self,
        media: str,
        headers: Headers,
        request: Request,
        allowed: OperationTypes,
        caller: Caller,
    ) -> ResultStream:
        """Returns the results of an operation. Raises RequestError."""
        resumes = position(headers) if media == STREAM else None
        try:
            results = await self._executor.open_stream(request, allowed, caller, resumes)
        except RequestError as error:
            if media != STREAM or not error.well_formed:
                raise
            # An EventSource cannot read the body of another status.
            results = single_result(error.response)
        return ResultStream(_FRAMINGS[media], results, resumes)


def _media(scope: Scope, headers: Headers, page: Page | None) -> str:
    """Returns the media type of the response. Raises BAD_REQUEST with 405 or 406."""
    if scope["method"] == "PUT":  # graphql-sse reserves a stream for several operations
        each = "Use GET or POST, with a request for each operation"
        raise bad_request(f"{each}: with graphql-sse, singleConnection is false.", 405)
    if scope["method"] not in _ALLOWED:
        raise bad_request("Use GET or POST.", 405)
    accept = headers.get(b"accept") or b"*/*"
    may_get_page = page is not None and scope["method"] == "GET" and not _has_request(scope)
    media = negotiate(accept, _WITH_PAGE if may_get_page else _WITHOUT_PAGE)
    if media is None:
        raise bad_request(f"Supported media types: {', '.join(_WITHOUT_PAGE)}.", 406)
    return media


def _has_request(scope: Scope) -> bool:
    return not _REQUEST_PARAMETERS.isdisjoint(parameters(scope["query_string"]))


def _check_body(headers: Headers, limit: int) -> None:
    """Raises BAD_REQUEST for a body that is not JSON, is compressed, or is declared too long."""
    coding = headers.get(b"content-encoding", b"")
    if coding and coding.strip().lower() != b"identity":  # a few bytes could decompress to many
        raise bad_request(
            "Content-Encoding is not supported; send the body uncompressed.",
            415,
            (b"accept-encoding", b"identity"),
        )
    if not is_json(headers.get(b"content-type", b"")):
        raise bad_request("The Content-Type must be application/json, in UTF-8.", 415)
    if _declared_length(headers) > limit:
        raise _too_long(limit)


async def _read_body(receive: Receive, limit: int) -> bytes:
    """Returns the whole body. Counts it while it arrives, because its declared length may be wrong."""
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


def _declared_length(headers: Headers) -> int:
    """Returns the value of Content-Length; 0 if it is missing or no number."""
    declared = headers.get(b"content-length", b"")
    return int(declared[:20]) if declared.isdigit() else 0


def _too_long(limit: int) -> RequestError:
    return bad_request(f"The body is longer than {limit} bytes.", 413)
