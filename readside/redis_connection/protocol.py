"""One connection to Redis for many questions, and the replies in their order.

It exists because of what redis-py costs a read: 117 us of CPU a command, 35 in a pipeline, for pools, retries
and timers that a read does not need. Where Redis is, and who we are there, is told by redis-py's own reading
of the URL; see api/runtime/drivers.py.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

import hiredis
import msgspec

from readside.projection import Command
from readside.redis_connection.connection_expiry import NOT_PRIMARY
from readside.redis_connection.encoding import pack
from readside.redis_connection.request_queue import PendingRequest, Replies, RequestQueue

_PIECE = 16 * 1024
"""Bytes for the parser at a time: it moves what is left after each few replies."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Where Redis is, a socket's `path` or a `host`, and who we are there."""

    host: str = ""
    port: int = 0
    path: str = ""
    tls: ssl.SSLContext | None = None
    username: str | None = None
    password: str | None = None
    database: int = 0
    name: str
    """What CLIENT LIST calls us."""


class RedisProtocol(asyncio.Protocol):
    """A connection. Redis answers in order, so the next reply is to the oldest question in line."""

    def __init__(self, moved: Callable[[], None], lost: Callable[[RedisProtocol], None]) -> None:
        """`moved`: called when something may be sent again; `lost`: when the connection has ended."""
        self.line = RequestQueue()
        self.lost = lost
        self.full = False
        """Whether nothing more should be sent at present."""
        self.gone = asyncio.Event()
        self.suspect: Callable[[], None] = lambda: None
        """Called when Redis refuses because it is a replica."""
        self._moved = moved
        self._parser = hiredis.Reader(encoding="utf-8", errors="replace")
        self._replies: Replies = []  # to the oldest question, as far as they have come
        self._transport: asyncio.Transport | None = None

    def send(self, packed: bytes) -> None:
        assert self._transport is not None
        self._transport.write(packed)

    def abort(self) -> None:
        """Ends at once; `lost` is called a turn later."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), _PIECE):
                self._parser.feed(data, start, min(_PIECE, len(data) - start))
                self._read()
        except (hiredis.ProtocolError, IndexError):  # no reply, or one that nobody asked for
            self.abort()

    def _read(self) -> None:
        gets, line, replies = self._parser.gets, self.line, self._replies
        wanted = line.asked[0].size if line.asked else 0
        while (reply := gets()) is not False:
            replies.append(reply)
            if len(replies) == wanted:
                if type(reply) is hiredis.ReplyError and str(reply).startswith(NOT_PRIMARY):
                    self.suspect()
                line.answer(replies)
                replies = self._replies = []
                wanted = line.asked[0].size if line.asked else 0
            elif not wanted:
                raise IndexError

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self._moved()

    def connection_lost(self, _: Exception | None) -> None:
        self.gone.set()
        self.lost(self)


async def open_connection(
    server: Server, moved: Callable[[], None], lost: Callable[[RedisProtocol], None]
) -> RedisProtocol:
    """A connection on which Redis knows us. Raises OSError, and hiredis.ReplyError if it will not."""
    loop = asyncio.get_running_loop()
    greeted: asyncio.Future[Replies] = loop.create_future()
    hello = PendingRequest(*_greeting(server), greeted, until=0.0)
    wire = RedisProtocol(moved, lambda _: hello.refuse(ConnectionResetError()))
    wire.line.add(hello)
    if server.path:
        await loop.create_unix_connection(lambda: wire, server.path)
    else:
        await loop.create_connection(lambda: wire, server.host, server.port, ssl=server.tls)
    try:
        wire.send(hello.packed)
        *needed, named = await greeted
        if str(named).startswith("NOPERM"):
            named = "OK"  # some users may not say their name, and may read all the same
        for reply in [*needed, named]:
            if isinstance(reply, hiredis.ReplyError):
                raise reply
        if wire.gone.is_set():
            raise ConnectionResetError
    except BaseException:
        wire.abort()
        raise
    wire.lost = lost
    return wire


def _greeting(server: Server) -> tuple[bytes, int]:
    """AUTH and SELECT as redis-py says them, and our name, packed; and how many commands that is."""
    commands: list[Command] = []
    if server.username:
        commands.append(("AUTH", server.username, server.password or ""))
    elif server.password:
        commands.append(("AUTH", server.password))
    if server.database:
        commands.append(("SELECT", str(server.database)))
    commands.append(("CLIENT", "SETNAME", server.name))
    return b"".join(map(pack, commands)), len(commands)
