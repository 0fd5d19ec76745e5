"""A multiplexed connection to Redis: concurrent requests share one connection, which reconnects when lost.

The requests of one turn of the event loop are one write. A request has a deadline. When the oldest one
expires the connection is dropped, because replies arrive in order and all later ones are late too. Requests
in flight are then sent once more: reads may be repeated. A pool of redis-py's connections costs ten times as
much (see protocol.py). All queries of a process share one connection; relays and projectors have connections
of their own, which repeat nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from hiredis import ReplyError

from readside.errors import ReadModelOverloaded, ReadModelUnavailable
from readside.redis_connection.connection_expiry import ConnectionExpiry
from readside.redis_connection.protocol import (
    PendingRequest,
    RedisProtocol,
    Replies,
    RequestQueue,
    Server,
    open_connection,
)

_BACKOFF_SECONDS = (0.0, 0.05, 0.1, 0.2, 0.4, 1.0)
"""How long requests fail immediately after so many failures to connect; one may be an accident."""

_GRACE_SECONDS = 0.01
"""After a busy turn the event loop may run timers before it reads replies that have already arrived."""

_log = structlog.get_logger(__name__)


class MultiplexedConnection:
    """A shared connection, closed by `async with`. It connects at the first request."""

    def __init__(
        self,
        server: Server,
        *,
        timeout_seconds: float,
        max_in_flight: int,
        retry_once: bool = True,
        expiry: ConnectionExpiry | None = None,
    ) -> None:
        """`max_in_flight`: limit of commands of all requests; `retry_once`: whether requests in flight on a
        lost connection are sent again; `expiry`: when the connection is replaced.
        """
        self.connect_count = 0
        self.rejected_count = 0
        """Requests above `max_in_flight`."""
        self.failed_count = 0
        """Requests without a reply before their deadline."""
        self.last_error = ""
        """Why the last attempt to connect failed; '' once connected."""
        self._server = server
        self._timeout_seconds = timeout_seconds
        self._max_in_flight = max_in_flight
        self._retry_once = retry_once
        self._expiry = expiry or ConnectionExpiry()
        self._expiry_count = 0  # when the connection was begun
        self._queue = RequestQueue()
        self._unsent: list[bytes] = []  # the last requests of the queue
        self._is_flushing = False
        self._protocol: RedisProtocol | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failures = 0  # attempts since the last connection
        self._fail_fast_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """The number of commands without a reply."""
        return self._queue.command_count

    async def __aenter__(self) -> MultiplexedConnection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; pending and later requests fail."""
        self._fail_fast_until = float("inf")
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        self._fail_all()
        if self._timer is not None:
            self._timer.cancel()
        if (protocol := self._protocol) is not None:
            self._drop(protocol)
            await protocol.closed.wait()

    def reconnect(self) -> None:
        """Drops the connection, and so ends a blocking read in Redis; later requests use another."""
        if self._protocol is not None:
            self._drop(self._protocol)

    def send(self, commands: Sequence[bytes]) -> asyncio.Future[Replies]:
        """Returns the replies to packed commands, at least one; errors are among them as values.

        Raises ReadModelOverloaded immediately; the future fails with ReadModelUnavailable.
        """
        if not commands:  # it would never complete, nor would any request after it
            raise ValueError("A request has at least one command.")
        if self._queue.command_count + len(commands) > self._max_in_flight:
            self.rejected_count += 1
            raise ReadModelOverloaded
        if self._protocol is not None and self._expiry_count != self._expiry.count:
            self._replace(self._protocol)
        loop = asyncio.get_running_loop()
        now = loop.time()
        request = PendingRequest(
            b"".join(commands), len(commands), loop.create_future(), now + self._timeout_seconds
        )
        if self._protocol is None and now < self._fail_fast_until:
            # One turn later: a caller that retries in a loop must not block the event loop.
            loop.call_soon(self._fail, request)
        else:
            self._enqueue(request, loop)
        return request.result

    def _replace(self, protocol: RedisProtocol) -> None:
        """Drops an expired connection, unless requests are in flight that must not be sent again."""
        if self._retry_once or not self._queue.requests:
            self._drop(protocol)

    def _enqueue(self, request: PendingRequest, loop: asyncio.AbstractEventLoop) -> None:
        self._queue.add(request)
        self._unsent.append(request.packed)
        if not self._is_flushing:
            self._is_flushing = True
            loop.call_soon(self._flush)
        if self._timer is None:
            self._timer = loop.call_at(request.deadline, self._on_deadline)

    def _flush(self) -> None:
        self._is_flushing = False
        if self._protocol is None:
            self._start_connecting()
        elif self._unsent and not self._protocol.write_paused:
            self._protocol.send(b"".join(self._unsent))
            self._unsent.clear()

    def _start_connecting(self) -> None:
        if self._connecting is None and self._queue.requests:
            self._connecting = asyncio.create_task(self._connect(), name=self._server.client_name)

    async def _connect(self) -> None:
        self._expiry_count = self._expiry.count
        try:
            async with asyncio.timeout(self._timeout_seconds):
                protocol = await open_connection(self._server, self._flush, self._on_lost)
        except Exception as error:  # whatever it is, Redis is unavailable
            self._on_failure(error)
        else:
            self._on_connected(protocol)
        finally:
            self._connecting = None

    def _on_connected(self, protocol: RedisProtocol) -> None:
        protocol.queue, self._protocol = self._queue, protocol
        protocol.on_replica = self._expiry.suspect
        self._failures, self.last_error = 0, ""
        self.connect_count += 1
        self._flush()

    def _on_failure(self, error: Exception) -> None:
        self.last_error = str(error) or type(error).__name__
        if not self._failures:
            # An error of Redis begins with a word for its kind, such as WRONGPASS.
            kind = str(error).split(" ")[0] if isinstance(error, ReplyError) else None
            _log.warning(
                "redis.connection_failed",
                connection=self._server.client_name,
                error=type(error).__name__,
                why=kind,
            )
        backoff = _BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)]
        self._failures += 1
        self._fail_fast_until = asyncio.get_running_loop().time() + backoff
        self._fail_all()

    def _on_lost(self, protocol: RedisProtocol) -> None:
        if protocol is self._protocol:
            self._drop(protocol)

    def _drop(self, protocol: RedisProtocol) -> None:
        """Closes the connection; requests in flight are sent once more on another one, or fail."""
        self._protocol, protocol.queue = None, RequestQueue()  # later replies are ignored
        protocol.abort()
        requests, self._queue = self._queue.requests, RequestQueue()
        sent_count = len(requests) - len(self._unsent)
        for number, request in enumerate(requests):
            was_sent = number < sent_count
            if was_sent and (request.retried or not self._retry_once):
                self._fail(request)
            elif not request.result.done():
                request.retried = request.retried or was_sent
                self._queue.add(request)
        self._unsent = [request.packed for request in self._queue.requests]
        self._start_connecting()

    def _on_deadline(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._expire)

    def _expire(self) -> None:
        """Fails expired requests, and sets the timer for the next deadline."""
        loop = asyncio.get_running_loop()
        self._timer = None
        expired = list(self._queue.pop_expired(loop.time()))
        for request in expired:
            self._fail(request)
        del self._unsent[: max(0, len(self._unsent) - len(self._queue.requests))]
        if expired and self._protocol is not None:
            self._drop(self._protocol)
        if self._queue.requests:
            self._timer = loop.call_at(self._queue.requests[0].deadline, self._on_deadline)

    def _fail_all(self) -> None:
        self._unsent.clear()
        while self._queue.requests:
            self._fail(self._queue.pop())

    def _fail(self, request: PendingRequest) -> None:
        self.failed_count += not request.result.done()
        request.fail(ReadModelUnavailable())
