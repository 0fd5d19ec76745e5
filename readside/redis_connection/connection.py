"""A link: many questions to Redis on one connection, which is made anew when it breaks.

What is asked in one turn of the event loop is one write. A question has a deadline; when the oldest one is
late the connection is given up, because replies come in order and whatever is behind is late too. What was on
its way then is asked once more: a read may be. It exists because a pool of redis-py's connections costs ten
times as much (see protocol.py). All queries of a process share one; relays and projectors have links of their
own, which repeat nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from hiredis import ReplyError

from readside.errors import ReadModelOverloaded, ReadModelUnavailable
from readside.redis_connection.connection_expiry import ConnectionExpiry
from readside.redis_connection.protocol import RedisProtocol, Server, open_connection
from readside.redis_connection.request_queue import PendingRequest, Replies, RequestQueue

_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 1.0)
"""Seconds in which nobody is let in after so many attempts to connect that failed: one may be an accident."""

_GRACE = 0.01
"""Seconds for the replies that came while the event loop was busy: it may find its timers first."""

_log = structlog.get_logger(__name__)


class MultiplexedConnection:
    """`async with` it. It connects when somebody asks: a Redis that is away does not stop the start."""

    def __init__(
        self,
        server: Server,
        *,
        patience: float,
        most: int,
        again: bool = True,
        expiry: ConnectionExpiry | None = None,
    ) -> None:
        """`patience`: seconds that a question waits; `most`: commands of all questions at once; `again`:
        whether what was on its way when a connection broke is asked once more; `expiry`: when it is replaced.
        """
        self.connects = 0
        self.overloaded = 0
        """Questions that were one too many."""
        self.unanswered = 0
        """Questions that Redis has not answered, or not in time."""
        self.trouble = ""
        """Why nobody could be connected, since we were."""
        self._server = server
        self._patience = patience
        self._most = most
        self._again = again
        self._expiry = expiry or ConnectionExpiry()
        self._count = 0  # of `expiry`, when the connection was begun
        self._line = RequestQueue()
        self._unsent: list[bytes] = []  # the last questions in line
        self._is_flushing = False
        self._wire: RedisProtocol | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failures = 0  # to connect, since we were connected
        self._closed_until = 0.0  # nobody is let in before
        self._timer: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """Commands that are not answered yet."""
        return self._line.commands

    async def __aenter__(self) -> MultiplexedConnection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Whoever still waits is refused, and so is whoever comes."""
        self._closed_until = float("inf")
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        self._refuse_all()
        if self._timer is not None:
            self._timer.cancel()
        if (wire := self._wire) is not None:
            self._give_up(wire)
            await wire.gone.wait()

    def hang_up(self) -> None:
        """Ends the connection, and so whatever Redis waits for on it; whoever asks next has another."""
        if self._wire is not None:
            self._give_up(self._wire)

    def ask(self, commands: Sequence[bytes]) -> asyncio.Future[Replies]:
        """The replies to these packed commands, at least one; errors are among them as values.

        Raises ReadModelOverloaded at once; the future ends in ReadModelUnavailable.
        """
        if not commands:  # no reply would ever end it, and all would wait behind it
            raise ValueError("A question has at least one command.")
        if self._line.commands + len(commands) > self._most:
            self.overloaded += 1
            raise ReadModelOverloaded
        if self._wire is not None and self._count != self._expiry.count:
            self._replace(self._wire)
        loop = asyncio.get_running_loop()
        now = loop.time()
        asked = PendingRequest(
            b"".join(commands), len(commands), loop.create_future(), now + self._patience
        )
        if self._wire is None and now < self._closed_until:
            # A turn later: whoever asks again and again must not keep the event loop for himself.
            loop.call_soon(self._refuse, asked)
        else:
            self._take(asked, loop)
        return asked.answer

    def _replace(self, wire: RedisProtocol) -> None:
        """Leaves a connection that has expired, unless something is under way that is asked only once."""
        if self._again or not self._line.asked:
            self._give_up(wire)

    def _take(self, asked: PendingRequest, loop: asyncio.AbstractEventLoop) -> None:
        self._line.add(asked)
        self._unsent.append(asked.packed)
        if not self._is_flushing:
            self._is_flushing = True
            loop.call_soon(self._flush)
        if self._timer is None:
            self._timer = loop.call_at(asked.until, self._look_soon)

    def _flush(self) -> None:
        self._is_flushing = False
        if self._wire is None:
            self._connect()
        elif self._unsent and not self._wire.full:
            self._wire.send(b"".join(self._unsent))
            self._unsent.clear()

    def _connect(self) -> None:
        if self._connecting is None and self._line.asked:
            self._connecting = asyncio.create_task(self._redial(), name=self._server.name)

    async def _redial(self) -> None:
        self._count = self._expiry.count
        try:
            async with asyncio.timeout(self._patience):
                wire = await open_connection(self._server, self._flush, self._lost)
        except Exception as error:  # whatever it is, Redis is not there
            self._fail(error)
        else:
            self._go_on(wire)
        finally:
            self._connecting = None

    def _go_on(self, wire: RedisProtocol) -> None:
        wire.line, self._wire = self._line, wire
        wire.suspect = self._expiry.suspect
        self._failures, self.trouble = 0, ""
        self.connects += 1
        self._flush()

    def _fail(self, error: Exception) -> None:
        self.trouble = str(error) or type(error).__name__
        if not self._failures:
            # An error of Redis begins with a word for its kind, such as WRONGPASS.
            why = str(error).split(" ")[0] if isinstance(error, ReplyError) else None
            name = self._server.name
            _log.warning("link.no_connection", link=name, error=type(error).__name__, why=why)
        pause = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
        self._failures += 1
        self._closed_until = asyncio.get_running_loop().time() + pause
        self._refuse_all()

    def _lost(self, wire: RedisProtocol) -> None:
        if wire is self._wire:
            self._give_up(wire)

    def _give_up(self, wire: RedisProtocol) -> None:
        """What is on its way is asked once more, on another connection."""
        self._wire, wire.line = None, RequestQueue()  # so that what still comes meets nobody
        wire.abort()
        asked, self._line = self._line.asked, RequestQueue()
        sent = len(asked) - len(self._unsent)
        for number, one in enumerate(asked):
            if number < sent and (one.again or not self._again):
                self._refuse(one)
            elif not one.answer.done():
                one.again = one.again or number < sent
                self._line.add(one)
        self._unsent = [one.packed for one in self._line.asked]
        self._connect()

    def _look_soon(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_GRACE, self._look)

    def _look(self) -> None:
        """Refuses who is late, and looks again when the next one is."""
        loop = asyncio.get_running_loop()
        self._timer = None
        late = list(self._line.late(loop.time()))
        for asked in late:
            self._refuse(asked)
        del self._unsent[: max(0, len(self._unsent) - len(self._line.asked))]
        if late and self._wire is not None:
            self._give_up(self._wire)
        if self._line.asked:
            self._timer = loop.call_at(self._line.asked[0].until, self._look_soon)

    def _refuse_all(self) -> None:
        self._unsent.clear()
        while self._line.asked:
            self._refuse(self._line.leave())

    def _refuse(self, asked: PendingRequest) -> None:
        self.unanswered += not asked.answer.done()
        asked.refuse(ReadModelUnavailable())
