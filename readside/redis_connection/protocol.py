"""The RESP protocol on one connection that carries many requests, and the queue of requests in flight.

redis-py costs 117 us of CPU a command, 35 in a pipeline, for pools, retries and timers that a read does not
need. It still parses the URL, so the address and the credentials come from it; see api/runtime/drivers.py.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, cast

import hiredis
import msgspec

from readside.projection import Command
from readside.redis_connection.connection_expiry import NOT_PRIMARY
from readside.redis_connection.encoding import pack

_CHUNK_BYTES = 16 * 1024
"""Size of the pieces for the parser, which moves the rest of its buffer after every few replies."""

Replies = list[Any]
"""One reply for each command; an error is a hiredis.ReplyError in the list."""


class PendingRequest:
    """Packed commands of which the replies are awaited."""

    __slots__ = ("command_count", "deadline", "packed", "result", "retried")

    def __init__(
        self, packed: bytes, command_count: int, result: asyncio.Future[Replies], deadline: float
    ) -> None:
        self.packed = packed
        self.command_count = command_count
        self.result = result
        self.deadline = deadline
        self.retried = False
        """Whether it was sent before, on a connection that was lost."""

    def fail(self, error: Exception) -> None:
        if not self.result.done():  # the caller may have been cancelled
            self.result.set_exception(error)


class RequestQueue:
    """FIFO of requests. All have the same timeout, so expired ones are always at the front."""

    __slots__ = ("command_count", "requests")

    def __init__(self) -> None:
        self.requests: deque[PendingRequest] = deque()
        self.command_count = 0
        """Commands of all requests."""

    def add(self, request: PendingRequest) -> None:
        self.requests.append(request)
        self.command_count += request.command_count

    def pop(self) -> PendingRequest:
        """Removes and returns the oldest request."""
        request = self.requests.popleft()
        self.command_count -= request.command_count
        return request

    def resolve(self, replies: Replies) -> None:
        """Completes the oldest request."""
        request = self.pop()
        if not request.result.done():
            request.result.set_result(replies)

    def pop_expired(self, now: float) -> Iterator[PendingRequest]:
        while self.requests and self.requests[0].deadline <= now:
            yield self.pop()


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """The address of Redis, a socket's `path` or a `host`, and the credentials."""

    host: str = ""
    port: int = 0
    path: str = ""
    tls: ssl.SSLContext | None = None
    username: str | None = None
    password: str | None = None
    database: int = 0
    read_only: bool = False
    """Whether it may be a replica of a cluster, which is read after READONLY only."""
    client_name: str
    """Shown by CLIENT LIST."""


class RedisProtocol(asyncio.Protocol):
    """A connection. Redis replies in order, so the next reply belongs to the oldest request of `queue`."""

    def __init__(
        self, on_writable: Callable[[], None], on_lost: Callable[[RedisProtocol], None]
    ) -> None:
        self.queue = RequestQueue()
        self.on_lost = on_lost
        self.write_paused = False
        """Whether the transport's write buffer is full."""
        self.closed = asyncio.Event()
        self.on_replica: Callable[[], None] = lambda: None
        """Called when Redis refuses a command because it is a replica."""
        self._on_writable = on_writable
        self._parser = hiredis.Reader(encoding="utf-8", errors="replace")
        self._replies: Replies = []  # to the oldest request, as far as they have arrived
        self._transport: asyncio.Transport | None = None

    def send(self, packed: bytes) -> None:
        assert self._transport is not None
        self._transport.write(packed)

    def abort(self) -> None:
        """Closes the connection; `on_lost` is called one turn of the event loop later."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), _CHUNK_BYTES):
                self._parser.feed(data, start, min(_CHUNK_BYTES, len(data) - start))
                self._read()
        except (hiredis.ProtocolError, IndexError):  # no RESP, or a reply without a request
            self.abort()

    def _read(self) -> None:
        gets, queue, replies = self._parser.gets, self.queue, self._replies
        expected = queue.requests[0].command_count if queue.requests else 0
        while (reply := gets()) is not False:
            replies.append(reply)
            if len(replies) == expected:
                if type(reply) is hiredis.ReplyError and str(reply).startswith(NOT_PRIMARY):
                    self.on_replica()
                queue.resolve(replies)
                replies = self._replies = []
                expected = queue.requests[0].command_count if queue.requests else 0
            elif not expected:
                raise IndexError

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        self._on_writable()

    def connection_lost(self, _: Exception | None) -> None:
        self.closed.set()
        self.on_lost(self)


async def open_connection(
    server: Server, on_writable: Callable[[], None], on_lost: Callable[[RedisProtocol], None]
) -> RedisProtocol:
    """Returns an authenticated connection. Raises OSError, and hiredis.ReplyError if Redis refuses it."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Replies] = loop.create_future()
    greeting = PendingRequest(*_greeting(server), result, deadline=0.0)
    protocol = RedisProtocol(on_writable, lambda _: greeting.fail(ConnectionResetError()))
    protocol.queue.add(greeting)
    if server.path:
        await loop.create_unix_connection(lambda: protocol, server.path)
    else:
        await loop.create_connection(lambda: protocol, server.host, server.port, ssl=server.tls)
    try:
        protocol.send(greeting.packed)
        *required, named = await result
        if str(named).startswith("NOPERM"):
            named = "OK"  # some roles may not set a name, and may read
        for reply in [*required, named]:
            if isinstance(reply, hiredis.ReplyError):
                raise reply
        if protocol.closed.is_set():
            raise ConnectionResetError
    except BaseException:
        protocol.abort()
        raise
    protocol.on_lost = on_lost
    return protocol


def _greeting(server: Server) -> tuple[bytes, int]:
    """Returns AUTH, SELECT, READONLY and CLIENT SETNAME, as far as needed, packed, with their number."""
    commands: list[Command] = []
    if server.username:
        commands.append(("AUTH", server.username, server.password or ""))
    elif server.password:
        commands.append(("AUTH", server.password))
    if server.database:
        commands.append(("SELECT", str(server.database)))
    if server.read_only:
        commands.append(("READONLY",))
    commands.append(("CLIENT", "SETNAME", server.client_name))
    return b"".join(map(pack, commands)), len(commands)
