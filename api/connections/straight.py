"""The shortest way of a POST to GraphQL: from the bytes that came to the bytes that go, with nothing between.

A client that keeps its connection sends the same head, byte for byte, before each body of one length. A head
that was read once, and found to be plain, need not be read again; so the second time there is no parsing of
HTTP, and none of what uvicorn prepares for requests that come in pieces. What answers is the same
application, by the same interface. The first request of each head, and all that is not plain, goes through
uvicorn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn._types import ASGI3Application

END: Final = b"\r\n\r\n"
"""Stands behind a head."""

_BEGINNING: Final = b"POST /graphql HTTP/1.1\r\n"

_MOST: Final = 1_000
"""Heads that are remembered in one process."""

_LONGEST: Final = 4_096
"""Bytes of a head that is remembered and of what stands behind it: a token and cookies may be much."""

_NOT_PLAIN: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
_FORWARDED: Final = b"x-forwarded-"
_STREAM: Final = b"text/event-stream"


class Head(NamedTuple):
    """Of a request that is read in no other way than this: so many bytes follow."""

    body: int
    """Bytes."""
    scope: Any
    """But for the client, which is that of the connection."""
    is_forwarded: bool
    """Whether a proxy says for whom it asks."""


class Heads:
    """The heads that are known to be plain; the least recently used is forgotten first."""

    def __init__(self) -> None:
        self.taken = 0
        """Requests that went straight."""
        self._known: Recent[bytes, Head] = Recent(_MOST)

    def find(self, head: bytes) -> Head | None:
        return self._known.get(head)

    def keep(self, head: bytes, body: int, scope: Any) -> None:
        """Remembers a head that was just read, and had a body of this length behind it, if it is plain."""
        if len(head) + len(END) <= _LONGEST and _is_plain(scope, body):
            forwarded = any(name.startswith(_FORWARDED) for name, _ in scope["headers"])
            self._known.keep(head, Head(body, dict(scope), forwarded))


def _is_plain(scope: Any, body: int) -> bool:
    """Whether the length of the body is all that one has to know to read such a request."""
    headers = scope["headers"]
    lengths = [value for name, value in headers if name == b"content-length"]
    return (
        scope["method"] == "POST"
        and scope["http_version"] == "1.1"
        and lengths == [b"%d" % body]
        and _NOT_PLAIN.isdisjoint(name for name, _ in headers)
        and all(value.lower() == b"keep-alive" for name, value in headers if name == b"connection")
        and not any(_STREAM in value.lower() for name, value in headers if name == b"accept")
    )


class Connection(HttpToolsProtocol):
    """uvicorn's, and what a straight request needs to know of it besides."""

    ending: bool
    """Whether the process takes its leave."""

    def rest(self) -> None:
        """A straight request has been answered."""
        raise NotImplementedError


class Straight:
    """The requests of one connection that go this way, one at a time."""

    def __init__(self, connection: Connection, heads: Heads) -> None:
        self.running: Exchange | None = None
        self._connection = connection
        self._heads = heads
        self._later = b""

    def takes(self, data: bytes) -> bool:
        """Whether the bytes that came are ours: a request of a known head, or what comes behind one."""
        if self.running is not None:
            self._later += data
            self._connection.flow.pause_reading()
            return True
        if not self.begins(data):
            return False
        head, end, body = data.partition(END)
        known = self._heads.find(head)
        if known is None or not end or len(body) != known.body:
            return False
        self._begin(known, body)
        return True

    def learn(self, data: bytes) -> None:
        """Remembers the head of a request that uvicorn has just read, if nothing else was in these bytes."""
        cycle = self._connection.cycle
        if cycle is None or cycle.more_body or cycle.scope is not self._connection.scope:
            return
        head, end, body = data.partition(END)
        if end:
            self._heads.keep(head, len(body), cycle.scope)

    def begins(self, data: bytes) -> bool:
        """Whether a request to GraphQL begins with these bytes, and not before them."""
        return data.startswith(_BEGINNING) and self._is_between()

    def _is_between(self) -> bool:
        """Whether all that came is answered, and the client reads the answers."""
        connection = self._connection
        cycle = connection.cycle
        answered = connection.scope is None or (
            cycle is not None and cycle.scope is connection.scope and cycle.response_complete
        )
        closes = connection.ending or connection.transport.is_closing()
        return answered and not closes and not connection.flow.write_paused

    def _begin(self, head: Head, body: bytes) -> None:
        connection = self._connection
        self._heads.taken += 1
        self.running = Exchange(body, self._write)
        scope = {**head.scope, "client": connection.client, "server": connection.server}
        # uvicorn wraps the application in what reads the headers of proxies, and does nothing else.
        app: Any = connection.app if head.is_forwarded else connection.config.app
        task = connection.loop.create_task(self._exchange(app, scope, self.running))
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)

    async def _exchange(self, app: ASGI3Application, scope: Any, exchange: Exchange) -> None:
        try:
            await app(scope, exchange.receive, exchange.send)
        finally:
            self.running = None
            self._end(exchange)

    def _write(self, head: bytes, body: bytes) -> None:
        connection = self._connection
        last = b"connection: close\r\n" if connection.ending else b""
        if not connection.transport.is_closing():
            connection.transport.write(b"%b%b\r\n%b" % (head, last, body))

    def _end(self, exchange: Exchange) -> None:
        """What came behind the request is next."""
        connection = self._connection
        if connection.ending or not exchange.complete:
            connection.transport.close()
        connection.rest()
        if self._later and not connection.transport.is_closing():
            data, self._later = self._later, b""
            connection.data_received(data)


class Exchange:
    """One request whose body has come, and its answer: what an application is given for both."""

    __slots__ = ("_body", "_head", "_write", "complete")

    def __init__(self, body: bytes, write: Callable[[bytes, bytes], None]) -> None:
        self.complete = False
        """Whether the answer is."""
        self._body: bytes | None = body
        self._write = write
        self._head = b""

    async def receive(self) -> Any:
        body, self._body = self._body, None
        if body is None:
            return {"type": "http.disconnect"}  # nobody who answers at once waits for it
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            lines = [b"%b: %b\r\n" % header for header in message["headers"]]
            self._head = STATUS_LINE[message["status"]] + b"".join(lines)
        else:
            self.complete = True
            self._write(self._head, message["body"])
