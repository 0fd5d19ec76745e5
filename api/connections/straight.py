"""The shortest way of a POST to GraphQL: from the bytes that came to the bytes that go, with nothing between.

A client that keeps its connection sends the same head, byte for byte, before each body of one length. A head
that was read once, and found to be plain, need not be read again: what it means is remembered, and only the
body is new. So the second time there is no parsing of HTTP, and none of what uvicorn and ASGI prepare for
requests that come in pieces. The first request of each head, and all that is not plain, goes through uvicorn,
and is answered by the same functions in the end.
"""

from __future__ import annotations

from asyncio import Task
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn import Config

    from api.access.door import Client
    from api.transport.http import AtOnce

END: Final = b"\r\n\r\n"
"""Stands behind a head."""

_BEGINNING: Final = b"POST /graphql HTTP/1.1\r\n"

_MOST: Final = 1_000
"""Heads that are remembered in one process."""

_LONGEST: Final = 4_096
"""Bytes of a head that is remembered and of what stands behind it: a token and cookies may be much."""

_NOT_PLAIN: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
_FORWARDED: Final = b"x-forwarded-"


class Head(NamedTuple):
    """Of a request that is read in no other way than this: so many bytes follow."""

    body: int
    """Bytes."""
    answer: AtOnce
    headers: Any = None
    """If a proxy says in them for whom it asks."""


class Heads:
    """The heads that are known to be plain; the least recently used is forgotten first."""

    def __init__(self, at_once: Callable[[Any], AtOnce | None]) -> None:
        """`at_once` is given the scope of a head: what answers the bodies behind it."""
        self.taken = 0
        """Requests that went straight."""
        self._at_once = at_once
        self._known: Recent[bytes, Head] = Recent(_MOST)

    def find(self, head: bytes) -> Head | None:
        return self._known.get(head)

    def keep(self, head: bytes, body: int, scope: Any) -> None:
        """Remembers a head that was just read, and had a body of this length behind it, if it is plain."""
        if len(head) + len(END) > _LONGEST or not _is_plain(scope, body):
            return
        if (answer := self._at_once(scope)) is not None:
            headers = scope["headers"]
            forwarded = any(name.startswith(_FORWARDED) for name, _ in headers)
            self._known.keep(head, Head(body, answer, headers if forwarded else None))


class Proxies:
    """Those that are trusted to say for whom they ask."""

    def __init__(self, config: Config) -> None:
        self._read = (
            ProxyHeadersMiddleware(_nothing, trusted_hosts=config.forwarded_allow_ips)
            if config.proxy_headers
            else _nothing
        )

    async def client(self, client: Client, headers: Any) -> Client:
        """Whom uvicorn takes for the client."""
        scope: Any = {"type": "http", "client": client, "headers": headers}
        await self._read(scope, _nothing, _nothing)
        found: Client = scope["client"]
        return found


async def _nothing(*_: Any) -> Any:
    """For whoever wants an application behind it."""


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

    def __init__(self, connection: Connection, heads: Heads, proxies: Proxies) -> None:
        self.running: Task[None] | None = None
        self._connection = connection
        self._heads = heads
        self._proxies = proxies
        self._later = b""

    def lose(self) -> None:
        """Nothing comes any more, and both are freed at once: the collector looks rarely for circles."""
        del self._connection

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
        self.running = connection.loop.create_task(self._answer(connection, head, body))
        connection.tasks.add(self.running)

    async def _answer(self, connection: Connection, head: Head, body: bytes) -> None:
        task, complete = self.running, False
        client = connection.client
        try:
            if head.headers is not None:
                client = await self._proxies.client(client, head.headers)
            reply = await head.answer(client, body)
            if not connection.transport.is_closing():
                connection.transport.write(reply.written(closes=connection.ending))
            complete = True
        finally:
            self.running = None
            connection.tasks.discard(task)
            self._end(connection, complete=complete)

    def _end(self, connection: Connection, *, complete: bool) -> None:
        """What came behind the request is next."""
        if connection.ending or not complete:
            connection.transport.close()
        connection.rest()
        if self._later and not connection.transport.is_closing():
            data, self._later = self._later, b""
            connection.data_received(data)
