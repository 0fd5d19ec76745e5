"""GraphQL over WebSocket: the protocol graphql-transport-ws, its messages and its connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Annotated, Any

import msgspec
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from api.auth.access import Access
from api.auth.csrf import combine_headers
from api.auth.scopes import ANONYMOUS
from api.auth.tokens import expired
from api.engine.execution.concurrency import websocket_slots
from api.engine.execution.executor import Executor
from api.engine.operation_type import ANY
from api.engine.request import Request
from api.errors import Formatted, RequestError, formatted
from api.http import websocket_close_codes
from api.http.websocket_close_codes import Close
from api.limits import Limits
from api.trace import Trace

PROTOCOL = "graphql-transport-ws"

_encode = msgspec.json.Encoder().encode

OperationId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Init(msgspec.Struct, tag="connection_init"):
    payload: dict[str, Any] | None = None


class Ping(msgspec.Struct, tag="ping"):
    payload: dict[str, Any] | None = None


class Pong(msgspec.Struct, tag="pong"):
    payload: dict[str, Any] | None = None


class Subscribe(msgspec.Struct, tag="subscribe"):
    """Starts an operation of any type."""

    id: OperationId
    payload: Request


class Complete(msgspec.Struct, tag="complete"):
    id: OperationId


Message = Init | Ping | Pong | Subscribe | Complete

_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


class ClosesConnection(Exception):
    """Ends the connection with a close code."""

    def __init__(self, close: Close) -> None:
        super().__init__(close.reason)
        self.close = close


class GraphQLOverWebSocket:
    """Serves connections of the subprotocol graphql-transport-ws, and closes all others with 4406.

    Browsers let pages connect to any host, so connections of other sites' pages are closed with 4403.
    """

    def __init__(self, executor: Executor, limits: Limits, access: Access) -> None:
        self._executor = executor
        self._limits = limits
        self._slots = websocket_slots(limits)
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        is_supported = PROTOCOL in scope["subprotocols"]
        # Always accepted: pages see neither code nor status when the handshake fails.
        await socket.accept(PROTOCOL if is_supported else None)
        if not self._access.allows_websocket(combine_headers(scope["headers"])):
            await socket.close(*websocket_close_codes.FOREIGN_PAGE)
            return
        if not is_supported:
            await socket.close(*websocket_close_codes.NO_SUBPROTOCOL)
            return
        try:
            with self._slots:
                await Connection(socket, self._executor, self._limits, self._access).serve()
        except RequestError:  # of the slots: errors of operations are sent as messages
            await socket.close(*websocket_close_codes.TOO_MANY_CONNECTIONS)


class Connection:
    """One connection and its operations, each in its own task."""

    def __init__(
        self, socket: WebSocket, executor: Executor, limits: Limits, access: Access
    ) -> None:
        self._socket = socket
        self._executor = executor
        self._limits = limits
        self._access = access
        self._caller = ANONYMOUS
        self._acknowledged = False
        self._wait_drained = _drain_extension(socket)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Runs until the client disconnects or the connection closes, and ends all operations."""
        close = None
        try:
            await self._handle_messages()
        except ClosesConnection as closing:
            close = closing.close
        except WebSocketDisconnect:
            pass
        finally:
            await self._stop()
        if close is not None:
            with suppress(WebSocketDisconnect, WebSocketDisconnected):
                await self._socket.close(*close)

    async def _handle_messages(self) -> None:
        """Handles messages until connection_init is late, or its token expires."""
        try:
            async with asyncio.timeout(self._limits.init_seconds) as self._deadline:
                while True:
                    await self._drain()  # for a client that does not read, nothing more is handled
                    await self._handle(_decode_message(await self._receive()))
        except TimeoutError as error:
            if self._acknowledged:
                raise ClosesConnection(websocket_close_codes.forbidden(expired())) from error
            raise ClosesConnection(websocket_close_codes.INIT_TIMEOUT) from error

    async def _receive(self) -> str:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text: str | None = message.get("text")
        if text is None:
            raise ClosesConnection(websocket_close_codes.NOT_TEXT)
        if len(text) > self._limits.body_bytes:
            raise ClosesConnection(websocket_close_codes.MESSAGE_TOO_BIG)
        return text

    async def _handle(self, message: Message) -> None:
        match message:
            case Init(payload=payload):
                await self._acknowledge(payload)
            case Ping(payload=payload):
                await self._send({"type": "pong"} | ({"payload": payload} if payload else {}))
            case Pong():
                pass
            case Subscribe(id=id_, payload=request):
                await self._subscribe(id_, request)
            case Complete(id=id_):
                if task := self._running.pop(id_, None):
                    task.cancel()

    async def _acknowledge(self, payload: dict[str, Any] | None) -> None:
        if self._acknowledged:
            raise ClosesConnection(websocket_close_codes.SECOND_INIT)
        try:
            self._caller = await self._access.caller_from_init(payload, self._socket.scope)
        except RequestError as error:
            self._executor.refuse(error, ANONYMOUS)
            raise ClosesConnection(websocket_close_codes.forbidden(error)) from None
        self._acknowledged = True
        self._close_in(self._caller.seconds_left)
        await self._send({"type": "connection_ack"})

    def _close_in(self, seconds: float | None) -> None:
        """Closes with 4403 then, so that the client reconnects with another token; None: never."""
        now = asyncio.get_running_loop().time()
        with suppress(RuntimeError):  # the timeout has passed already
            self._deadline.reschedule(None if seconds is None else now + seconds)

    async def _subscribe(self, id_: str, request: Request) -> None:
        if not self._acknowledged:
            raise ClosesConnection(websocket_close_codes.NOT_INITIALISED)
        if id_ in self._running:
            raise ClosesConnection(websocket_close_codes.DUPLICATE_ID)
        if len(self._tasks) >= self._limits.operations:
            message = "Too many operations run on this connection; complete one first."
            errors = [formatted("OVERLOADED", message)]
            return await self._send({"id": id_, "type": "error", "payload": errors})
        task = asyncio.create_task(self._run(id_, request))
        self._running[id_] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return None

    async def _run(self, id_: str, request: Request) -> None:
        """Executes one operation: sends its results, then `complete` or its errors.

        Waits before each result until the socket has drained: nothing is executed for a client that does
        not read.
        """
        last_message: Formatted = {"id": id_, "type": "complete"}
        try:
            await self._drain()
            with Trace(_traceparent(request)):
                async with aclosing(self._executor.stream(request, ANY, self._caller)) as results:
                    async for result in results:
                        await self._send({"id": id_, "type": "next", "payload": result})
                        await self._drain()
        except RequestError as error:
            code = error.errors[0]["extensions"]["code"]
            if code == "UNAUTHENTICATED":  # the token has expired since connection_init
                self._close_in(0)
                return
            last_message = {"id": id_, "type": "error", "payload": error.errors}
        except WebSocketDisconnect:
            return
        except Exception as error:
            refusal = self._executor.refuse(error, self._caller)
            last_message = {"id": id_, "type": "error", "payload": refusal.errors}
        # Before the message, because the client may reuse the id as soon as it receives it.
        del self._running[id_]
        await self._send(last_message)

    async def _drain(self) -> None:
        """Waits until the socket has drained. Raises WebSocketDisconnect if the connection ends first."""
        if not await self._wait_drained():
            raise WebSocketDisconnect(1006)

    async def _send(self, message: Formatted) -> None:
        with suppress(WebSocketDisconnect, WebSocketDisconnected):
            await self._socket.send_text(_encode(message).decode())

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _traceparent(request: Request) -> str | None:
    """Returns the traceparent, which clients send in `extensions` because a message has no headers."""
    traceparent = (request.extensions or {}).get("traceparent")
    return traceparent if isinstance(traceparent, str) else None


def _drain_extension(socket: WebSocket) -> Callable[[], Awaitable[bool]]:
    """Returns the function of this server's ASGI extension that waits until a socket has drained."""
    extension = socket.scope.get("extensions", {}).get("drain", {})
    wait: Callable[[], Awaitable[bool]] = extension.get("wait", _true)
    return wait


async def _true() -> bool:
    """Does not wait: a server without the extension waits in `send`."""
    return True


def _decode_message(text: str) -> Message:
    try:
        return _decoder.decode(text)
    except (ValueError, RecursionError) as error:
        raise ClosesConnection(websocket_close_codes.NOT_A_MESSAGE) from error
