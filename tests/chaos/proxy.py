"""A proxy before a store, whose links can be cut, delayed, silenced, and robbed of single answers.

It understands enough of both protocols to know which answer belongs to which request, so that a test can
say "the next append is carried out, but its answer gets lost". It takes what comes without limit, so that
nobody stands still because another does not listen: what it holds in memory is what was asked for.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

from tests.chaos.addresses import Address, address_of, at, is_postgres, postgres_socket
from tests.chaos.link import Link, Side, Talk
from tests.chaos.postgres_wire import PostgresTalk
from tests.chaos.redis_wire import RedisTalk
from tests.limited import limited
from tests.processes import HOST
from tests.redis_cluster import RedisCluster

COMMIT = "insert into events"
"""The one statement of the store that writes: its answer is the answer to its COMMIT."""

REACHED_WITHIN = 10.0
"""Seconds."""

Way = Literal["requests", "answers"]


class Fault:
    """Something that happens once, to the next answer that matches."""

    def __init__(self, match: str, happens: Callable[[Link, bytes], None]) -> None:
        self.match = match
        self.happens = happens
        self.fired = asyncio.Event()


class Held(Fault):
    """An answer that has been given, and arrives when it is released."""

    def __init__(self, match: str) -> None:
        super().__init__(match, self._hold)
        self._link: Link | None = None

    @property
    def reached(self) -> Awaitable[None]:
        """Await it: returns once the answer is held."""
        return self._reached()

    def release(self) -> None:
        """Does nothing if the link has been cut meanwhile."""
        if self._link is not None:
            self._link.release()

    def _hold(self, link: Link, answer: bytes) -> None:
        self._link = link
        link.hold(answer)

    async def _reached(self) -> None:
        async with limited(REACHED_WITHIN):
            await self.fired.wait()


class Proxy:
    """All links between clients and one server. `url` is the way to the server through it."""

    def __init__(self, talk: Callable[[], Talk], server: Address) -> None:
        self.url = ""
        self.links: dict[Link, None] = {}
        self.asked: Counter[str] = Counter()
        """What was asked: the statements of a round trip, or the first two words of a command of Redis."""
        self.armed: list[Fault] = []
        self.silent = False
        """Whether no answer arrives at present."""
        self.deaf = False
        """Whether no request arrives at present."""
        self.slowness = 0.0
        """Seconds that each piece of an answer waits."""
        self._talk = talk
        self._server = server
        self._refusing = False
        self._cuts: dict[Way, tuple[int, Fault]] = {}
        self._hearing = asyncio.Event()
        self._hearing.set()
        self._connecting: set[asyncio.Task[None]] = set()
        self.sides: set[Side] = set()
        """What is open, also of links that are cut but not quite gone."""

    def cut(self) -> None:
        """Every link ends now: with a reset, where there is such a thing."""
        for link in list(self.links):
            link.cut()

    def lead_to(self, url: str) -> None:
        """From now on new links lead to another server, as after a failover."""
        self._server = address_of(url)

    def refuse(self) -> None:
        """Every link ends, and new ones are closed at once, until `accept`."""
        self._refusing = True
        self.cut()

    def accept(self) -> None:
        self._refusing = False

    def blackhole(self, ways: Literal["both", "answers"] = "both") -> None:
        """Nothing arrives any more, or only requests do, and nobody is told; until `flow`."""
        self.silent = True
        if ways == "both":
            self.deaf = True
            self._hearing.clear()
            for link in self.links:
                link.client.listen(False)

    def flow(self, *, drop: bool = False) -> None:
        """What was on its way arrives late, also from those who have gone; with `drop` its links end instead.

        Links that are half-open end as well, as keep-alive would end them at last.
        """
        self.silent = self.deaf = False
        self._hearing.set()
        for link in list(self.links):
            if drop or link.deaf:
                link.cut()
            else:
                link.client.listen(link.server.transport is not None)
                link.move()

    def delay(self, seconds: float) -> None:
        """From now on each piece of an answer arrives so much later, in order."""
        self.slowness = seconds

    def half_open(self) -> None:
        """The server has lost its present connections, and no client knows."""
        for link in self.links:
            link.half_open()

    def cut_after(self, size: int, way: Way = "answers") -> Fault:
        """Exactly so many more bytes arrive, counted over all links; then the link they came on ends."""
        fault = Fault("", lambda *_: None)
        self._cuts[way] = size, fault
        return fault

    def truncate_next(self, match: str = "") -> Fault:
        """Half of the next matching answer arrives, and then the end of the connection."""
        return self.arm(Fault(match, _truncate))

    def swallow_next(self, match: str = "") -> Fault:
        """The next matching request is carried out; its answer is lost, and its link is cut."""
        return self.arm(Fault(match, lambda link, _: link.cut()))

    def cut_at_commit(self) -> Fault:
        """PostgreSQL: the next write is committed, and nobody hears of it."""
        return self.swallow_next(COMMIT)

    def hold_next(self, match: str = "") -> Held:
        """The next matching request is carried out, and its answer waits until it is released."""
        held = Held(match)
        self.arm(held)
        return held

    def arm(self, fault: Fault) -> Fault:
        self.armed.append(fault)
        return fault

    def heal(self) -> None:
        """An honest proxy again: nothing is armed, held, refused or slow."""
        self._refusing, self.slowness = False, 0.0
        self._cuts.clear()
        self.armed.clear()
        self.flow()
        for link in list(self.links):
            link.release()

    def fault_for(self, request: str) -> Fault | None:
        """What is to happen to the answer to this request. It is not armed any more then."""
        for fault in self.armed:
            if fault.match in request:
                self.armed.remove(fault)
                return fault
        return None

    def passing(self, way: Way, size: int) -> int | None:
        """How much of so many bytes still arrives if the link is to be cut within them; else None."""
        if way not in self._cuts:
            return None
        left, fault = self._cuts[way]
        if left > size:
            self._cuts[way] = left - size, fault
            return None
        del self._cuts[way]
        fault.fired.set()
        return left

    def side(self, server: Address | None = None) -> Side:
        """For a client that comes, to the one server or to this one of several."""
        return Link(self, self._talk(), server).client

    def taken(self, link: Link) -> None:
        """The client has come: connect it, unless nobody is let in."""
        if self._refusing:
            link.cut()
            return
        self.links[link] = None
        task = asyncio.create_task(self._connect(link))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def close(self) -> None:
        self.refuse()
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        while self.sides:
            for side in self.sides:
                side.abort()
            await asyncio.sleep(0)

    @asynccontextmanager
    async def before(self, server: tuple[str, int], port: int) -> AsyncIterator[None]:
        """The ways to one more server, which clients find at this port."""
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(lambda: self.side(server), HOST, port)
        try:
            yield
        finally:
            listening.close()

    async def _connect(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        await self._hearing.wait()
        try:
            address = link.address or self._server
            if isinstance(address, str):
                await loop.create_unix_connection(lambda: link.server, address)
            else:
                await loop.create_connection(lambda: link.server, *address)
        except OSError:
            link.end()


def _truncate(link: Link, answer: bytes) -> None:
    link.deliver(answer[: len(answer) // 2])
    link.end()


@asynccontextmanager
async def proxy(url: str, listen: Literal["unix", "tcp"] | None = None) -> AsyncIterator[Proxy]:
    """A proxy to the server at this URL, listening as that one does if nothing else is asked for.

    On the way out everything it has opened ends.
    """
    server = address_of(url)
    made = Proxy(PostgresTalk if is_postgres(url) else RedisTalk, server)
    tcp = listen == "tcp" if listen else not isinstance(server, str)
    with tempfile.TemporaryDirectory(prefix="tandem-proxy-") as place:
        name = postgres_socket() if is_postgres(url) else "redis.sock"
        async with _listening(made, None if tcp else Path(place) / name) as address:
            made.url = at(address, url)
            yield made


@asynccontextmanager
async def _listening(made: Proxy, path: Path | None) -> AsyncIterator[Address]:
    loop = asyncio.get_running_loop()
    address: Address
    if path is None:
        server = await loop.create_server(made.side, HOST, 0)
        address = HOST, server.sockets[0].getsockname()[1]
    else:
        address = str(path)
        server = await loop.create_unix_server(made.side, address)
    try:
        yield address
    finally:
        server.close()
        await made.close()


@asynccontextmanager
async def proxy_of_nodes(nodes: RedisCluster) -> AsyncIterator[Proxy]:
    """One proxy before all nodes of a cluster, which announce it to their clients."""
    made = Proxy(RedisTalk, (HOST, nodes.nodes[0].port))
    made.url = nodes.url_for_clients
    async with AsyncExitStack() as stack:
        for node in nodes.nodes:
            await stack.enter_async_context(made.before((HOST, node.port), node.client_port))
        stack.push_async_callback(made.close)
        yield made
