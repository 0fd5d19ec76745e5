"""A wire between a process and a store that can be cut, delayed, silenced, and robbed of single answers.

It understands enough of both protocols to know which answer belongs to which request, so that a test can say
"the next append is carried out, but its answer gets lost".
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, Protocol, cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.faults.postgres_wire import PostgresTalk
from tests.faults.redis_wire import RedisTalk
from tests.processes import HOST

POSTGRES_SOCKET = ".s.PGSQL.5432"
COMMIT = "insert into events"
"""The one statement of the store that writes: its answer is the answer to its COMMIT."""


Way = Callable[[Callable[[], "Side"]], Awaitable[object]]


class Talk(Protocol):
    def asked(self, data: bytes) -> list[str]: ...
    def answered(self, data: bytes) -> int: ...


class Fault:
    """Something that happens once, to the next answer that matches."""

    def __init__(self, match: str, happens: Callable[[Pair, bytes], None]) -> None:
        self.match = match
        self.happens = happens
        self.fired = asyncio.Event()


class Held(Fault):
    """An answer that has been given and does not arrive until it is released."""

    def __init__(self, match: str) -> None:
        super().__init__(match, lambda pair, data: self._hold(pair, data))
        self._pair: Pair | None = None

    def _hold(self, pair: Pair, data: bytes) -> None:
        self._pair = pair
        pair.held = [data]

    def release(self) -> None:
        if self._pair is not None:
            self._pair.let_go()


class Side(asyncio.Protocol):
    """One end of a connection through the wire."""

    def __init__(self, heard: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self.transport: asyncio.Transport | None = None
        self.ended = False
        self._heard = heard
        self._lost = lost
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        for data in self._early:
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._heard(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._lost()

    def write(self, data: bytes) -> None:
        if self.transport is None:
            self._early.append(data)
        elif not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Pair:
    """A connection: the side of the client, the side of the server, and what is between them."""

    def __init__(self, wire: Proxy, talk: Talk) -> None:
        self.client = Side(self._ask, self._client_lost)
        self.server = Side(self._answer, self._server_lost)
        self.held: list[bytes] | None = None
        self._unheard: list[bytes] = []
        self._wire = wire
        self._talk = talk
        self._waiting: deque[str] = deque()
        self.deaf = False

    def cut(self) -> None:
        self._wire.pairs.discard(self)
        self.client.abort()
        self.server.abort()

    def half_open(self) -> None:
        """The server's side is gone, and the client is not told."""
        self.deaf = True
        self.server.abort()

    def let_go(self) -> None:
        """What was held goes on its way."""
        unheard, self._unheard = self._unheard, []
        for data in unheard:
            self.server.write(data)
        held, self.held = self.held, None
        for data in held or ():
            self.client.write(data)
        if self.server.transport is None or self.server.transport.is_closing():
            self._server_lost()

    def _ask(self, data: bytes) -> None:
        asked = self._talk.asked(data)
        self._waiting.extend(asked)
        self._wire.asked.update(asked)
        if self._wire.silent == "both":
            self._unheard.append(data)
        elif not self.deaf:
            self.server.write(data)

    def _answer(self, data: bytes) -> None:
        answered = [
            self._waiting.popleft() for _ in range(self._talk.answered(data)) if self._waiting
        ]
        if self.held is not None:
            self.held.append(data)
        elif (fault := self._wire.fault_for(answered)) is not None:
            fault.fired.set()
            fault.happens(self, data)
        elif self._wire.silent:
            self.held = [data]
        elif (left := self._wire.count(len(data))) is not None:
            self.client.write(data[:left])
            self.finish()
        elif self._wire.slowness:
            asyncio.get_running_loop().call_later(self._wire.slowness, self.client.write, data)
        else:
            self.client.write(data)

    def finish(self) -> None:
        """What was written still goes out; then both sides end."""
        self._wire.pairs.discard(self)
        self.client.close()
        self.server.abort()

    def _client_lost(self) -> None:
        self._wire.pairs.discard(self)
        self.server.abort()

    def _server_lost(self) -> None:
        if not self.deaf and self.held is None and not self._wire.silent:
            self._wire.pairs.discard(self)
            self.client.close()


class Proxy:
    """All connections between one kind of client and one server."""

    def __init__(self, talk: Callable[[], Talk], way: Way) -> None:
        self.url = ""
        self.pairs: set[Pair] = set()
        self.asked: Counter[str] = Counter()
        """What was asked: statements, or commands of Redis by their first two words."""
        self.silent: Literal["", "answers", "both"] = ""
        self.slowness = 0.0
        self._talk = talk
        self._way = way
        self._armed: list[Fault] = []
        self._refusing = False
        self._left: int | None = None
        self._connecting: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Ends every connection now."""
        for pair in list(self.pairs):
            pair.cut()

    def refuse(self) -> None:
        """From now on no connection is taken, and the present ones end."""
        self._refusing = True
        self.cut()

    def blackhole(self, ways: Literal["answers", "both"] = "both") -> None:
        """Nothing arrives any more, and nobody is told."""
        self.silent = ways

    def flow(self, *, drop: bool = False) -> None:
        """What was held arrives late, or never (`drop`: its connections end)."""
        self.silent = ""
        for pair in list(self.pairs):
            if drop or pair.deaf:
                pair.cut()
            else:
                pair.let_go()

    def half_open(self) -> None:
        """The server has lost its connections, and no client knows."""
        for pair in list(self.pairs):
            pair.half_open()

    def cut_after(self, size: int) -> None:
        """Ends one connection in the middle of an answer, after so many more bytes of answers."""
        self._left = size

    def truncate_next(self, match: str = "") -> Fault:
        """Half of the next answer arrives."""
        return self._arm(Fault(match, _truncate))

    def swallow_next(self, match: str = "") -> Fault:
        """The next matching request is carried out, and its answer is lost with its connection."""
        return self._arm(Fault(match, lambda pair, _: pair.cut()))

    def cut_at_commit(self) -> Fault:
        """The next write is committed, and nobody hears of it."""
        return self.swallow_next(COMMIT)

    def hold_next(self, match: str = "") -> Held:
        """The next matching answer is given, and arrives when it is released."""
        held = Held(match)
        self._arm(held)
        return held

    def heal(self) -> None:
        """An honest wire again. Connections that went half-open end, as keep-alive would end them at last."""
        self._refusing, self._left, self.slowness = False, None, 0.0
        self._armed.clear()
        self.flow()

    def fault_for(self, answered: list[str]) -> Fault | None:
        for fault in self._armed if answered else ():
            if any(fault.match in request for request in answered):
                self._armed.remove(fault)
                return fault
        return None

    def count(self, size: int) -> int | None:
        """How much of an answer still arrives if the connection is to be cut within it."""
        if self._left is None:
            return None
        left, self._left = self._left, self._left - size
        if left >= size:
            return None
        self._left = None
        return left

    def taken(self) -> Side:
        """A client has come."""
        pair = Pair(self, self._talk())
        task = asyncio.create_task(self._connect(pair))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return pair.client

    async def close(self) -> None:
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        self.cut()

    async def _connect(self, pair: Pair) -> None:
        if self._refusing:
            pair.client.abort()
            return
        self.pairs.add(pair)
        try:
            await self._way(lambda: pair.server)
        except OSError:
            pair.cut()

    def _arm(self, fault: Fault) -> Fault:
        self._armed.append(fault)
        return fault


def _truncate(pair: Pair, data: bytes) -> None:
    pair.client.write(data[: len(data) // 2])
    pair.finish()


@asynccontextmanager
async def proxy(url: str, *, tcp: bool = False) -> AsyncIterator[Proxy]:
    """A wire to the server at this URL; `url` of the wire is the way through it: a unix socket, or TCP."""
    to_postgres = url.startswith("postgres")
    name = POSTGRES_SOCKET if to_postgres else "redis"
    with tempfile.TemporaryDirectory(prefix="tandem-wire-") as here:
        wire = Proxy(PostgresTalk if to_postgres else RedisTalk, _way_to(url))
        loop = asyncio.get_running_loop()
        if tcp:
            server: asyncio.Server = await loop.create_server(wire.taken, HOST, 0)
            port = server.sockets[0].getsockname()[1]
            wire.url = _over_tcp(url, port) if to_postgres else f"redis://{HOST}:{port}"
        else:
            server = await loop.create_unix_server(wire.taken, str(Path(here) / name))
            wire.url = _over_unix(url, here) if to_postgres else f"unix://{quote(here)}/{name}"
        try:
            yield wire
        finally:
            server.close()
            await wire.close()


def _way_to(url: str) -> Way:
    """How to connect to the server that a URL names."""
    parts = urlsplit(url)
    directory = parse_qs(parts.query).get("host", [""])[0]
    socket = str(Path(directory) / POSTGRES_SOCKET) if directory else unquote(parts.path)

    async def connect(side: Callable[[], Side]) -> object:
        loop = asyncio.get_running_loop()
        if parts.hostname is not None:
            return await loop.create_connection(side, parts.hostname, parts.port or 0)
        return await loop.create_unix_connection(side, socket)

    return connect


def _over_unix(url: str, directory: str) -> str:
    [before] = parse_qs(urlsplit(url).query)["host"]
    return url.replace(quote(before, safe="/"), quote(directory, safe="/"))


def _over_tcp(url: str, port: int) -> str:
    parts = urlsplit(url)
    user = parts.netloc.partition("@")[0]
    return f"postgresql://{user}@{HOST}:{port}{parts.path}?sslmode=disable"
