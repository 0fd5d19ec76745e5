"""GraphQL over WebSocket: the graphql-transport-ws protocol, and only that one."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from api.access.origin import combined
from api.access.scopes import NOBODY
from api.documents.kinds import ANY
from api.errors import Formatted, RequestError
from api.operations.execution import Executor
from api.operations.room import for_sockets
from api.trace import Trace
from api.transport.messages import Complete, Init, Message, Ping, Pong, Subscribe, decode

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from api.access.door import Access
    from api.documents.request import Request
    from api.limits import Limits

PROTOCOL = "graphql-transport-ws"

_encode = msgspec.json.Encoder().encode


class Violation(Exception):
    """The client broke the protocol, which says with what code the connection closes."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class GraphQLOverWebSocket:
    """Answers connections that speak graphql-transport-ws, and closes all others with 4406.

    Those of other sites' pages, to which browsers let everybody connect, are closed with 4403.
    """

    def __init__(self, executor: Executor, limits: Limits, access: Access) -> None:
        self._executor = executor
        self._limits = limits
        self._seats = for_sockets(limits)
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        spoken = PROTOCOL in scope["subprotocols"]
        # Accepted all the same: a browser is told of no code if the handshake fails.
        await socket.accept(PROTOCOL if spoken else None)
        if not self._access.may_open_socket(combined(scope["headers"])):
            await socket.close(4403, "Forbidden: the page is of another origin")
            return
        if not spoken:
            await socket.close(4406, "Subprotocol not acceptable")
            return
        try:
            with self._seats:
                await Connection(socket, self._executor, self._limits, self._access).serve()
        except RequestError:  # what is asked on the connection is answered on it
            await socket.close(1013, "Too many connections")


class Connection:
    """One connection, and the operations that run on it, each in a task of its own."""

    def __init__(
        self, socket: WebSocket, executor: Executor, limits: Limits, access: Access
    ) -> None:
        self._socket = socket
        self._executor = executor
        self._limits = limits
        self._access = access
        self._caller = NOBODY
        self._acknowledged = False
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Until the client leaves or breaks the protocol. Nothing of it is left running then."""
        closing = None
        try:
            await self._converse()
        except Violation as violation:
            closing = violation
        except WebSocketDisconnect:
            pass
        finally:
            await self._stop()
        if closing is not None:
            with suppress(WebSocketDisconnect, WebSocketDisconnected):
                await self._socket.close(closing.code, closing.reason)

    async def _converse(self) -> None:
        try:
            async with asyncio.timeout(self._limits.init_seconds) as patience:
                while True:
                    await self._handle(_understood(await self._receive()))
                    if self._acknowledged:
                        patience.reschedule(None)
        except TimeoutError as error:
            raise Violation(4408, "Connection initialisation timeout") from error

    async def _receive(self) -> str:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text: str | None = message.get("text")
        if text is None:
            raise Violation(4400, "Messages are text frames")
        if len(text) > self._limits.body_bytes:
            raise Violation(1009, "Message too big")
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
            raise Violation(4429, "Too many initialisation requests")
        try:
            self._caller = await self._access.by_payload(payload, self._socket.scope)
        except RequestError as error:
            self._executor.refuse(error, NOBODY)
            raise Violation(4403, f"Forbidden: {error}") from None
        self._acknowledged = True
        await self._send({"type": "connection_ack"})

    async def _subscribe(self, id_: str, request: Request) -> None:
        if not self._acknowledged:
            raise Violation(4401, "Unauthorized")
        if id_ in self._running:
            raise Violation(4409, "Subscriber for this id already exists")
        if len(self._tasks) >= self._limits.operations:
            return await self._send({"id": id_, "type": "error", "payload": [_OVERLOADED]})
        task = asyncio.create_task(self._run(id_, request))
        self._running[id_] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return None

    async def _run(self, id_: str, request: Request) -> None:
        """Sends the results of one operation, and then that it is complete, or its errors."""
        last: Formatted = {"id": id_, "type": "complete"}
        try:
            with Trace(_traceparent(request)):
                async with aclosing(self._executor.stream(request, ANY, self._caller)) as results:
                    async for result in results:
                        await self._send({"id": id_, "type": "next", "payload": result})
        except RequestError as error:
            last = {"id": id_, "type": "error", "payload": error.errors}
        except Exception as error:
            refusal = self._executor.refuse(error, self._caller)
            last = {"id": id_, "type": "error", "payload": refusal.errors}
        # Before it is told, because the client may use the id again as soon as it knows.
        del self._running[id_]
        await self._send(last)

    async def _send(self, message: Formatted) -> None:
        with suppress(WebSocketDisconnect, WebSocketDisconnected):
            await self._socket.send_text(_encode(message).decode())

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


_OVERLOADED: Formatted = {
    "message": "Too many operations run on this connection; complete one of them first.",
    "extensions": {"code": "OVERLOADED"},
}


def _traceparent(request: Request) -> str | None:
    """A message has no headers, so clients put it where there is room."""
    given = (request.extensions or {}).get("traceparent")
    return given if isinstance(given, str) else None


def _understood(text: str) -> Message:
    try:
        return decode(text)
    except (ValueError, RecursionError) as error:
        raise Violation(4400, "Invalid message") from error
