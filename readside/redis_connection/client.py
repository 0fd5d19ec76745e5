"""Clients of Redis: redis-py, with one time limit for a round trip, and links for what is asked often."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from hiredis import ReplyError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.connection import DefaultParser
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import MasterDownError, ReadOnlyError

from readside.errors import ReadModelError
from readside.redis_connection.encoding import pack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio.connection import AbstractConnection

    from readside.projection import Command
    from readside.redis_connection.connection import MultiplexedConnection
    from readside.redis_connection.connection_expiry import ConnectionExpiry


_TAG = re.compile(r"{(.+?)}")

_ON_LINKS = {"FCALL", "XREADGROUP"}
"""What is asked for every few events."""


class TimedConnectionPool(BlockingConnectionPool):
    expiry: ConnectionExpiry

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Connects, or connects again where the connection is lost or expired; called before each use."""
        count = self.expiry.count
        if getattr(connection, "begun_under", count) != count:
            await connection.disconnect()
        connection.begun_under = count  # type: ignore[attr-defined]
        await super().ensure_connection(connection)

    @property
    def busy(self) -> int:
        return len(self._in_use_connections)


class MultiplexedConnections:
    """A link for each partition, so that none waits for the replies of another."""

    def __init__(self, made: Callable[[], MultiplexedConnection]) -> None:
        self._made = made
        self._links: dict[str, MultiplexedConnection] = {}

    @property
    def busy(self) -> int:
        return sum(link.in_flight > 0 for link in self._links.values())

    def of(self, words: Command) -> MultiplexedConnection:
        """By the hash tag of the first key, if it has one."""
        tags = (_TAG.search(word) for word in words if isinstance(word, str))
        name = next((tag[1] for tag in tags if tag), "")
        if name not in self._links:
            self._links[name] = self._made()
        return self._links[name]

    async def close(self) -> None:
        for link in self._links.values():
            await link.close()


def _expiry(pool: object) -> ConnectionExpiry:
    assert isinstance(pool, TimedConnectionPool)
    return pool.expiry


async def _suspecting(expiry: ConnectionExpiry, reply: Awaitable[Any]) -> Any:
    """The reply; one that only a replica gives expires all connections of the process."""
    try:
        return await reply
    except (ReadOnlyError, MasterDownError):
        expiry.suspect()
        raise


class Client(Redis):
    """A client whose every round trip has one time limit, which is ours.

    The driver's own arms a timer for each reply, and on Python 3.11 may swallow a cancellation.
    """

    limit: float | None = None
    links: MultiplexedConnections | None = None
    """On which what is asked often travels, because that takes a quarter of the CPU."""

    @property
    def expiry(self) -> ConnectionExpiry:
        return _expiry(self.connection_pool)

    async def parse_response(self, *words: Any, **options: Any) -> Any:
        reply = super().parse_response(*words, **options)
        return await _suspecting(self.expiry, reply)

    async def execute_command(self, *words: Any, **options: Any) -> Any:
        if self.links is not None and words[0] in _ON_LINKS:
            link = self.links.of(words)
            try:
                reply = await _asked(link, words)
            except asyncio.CancelledError:
                if b"BLOCK" in words:
                    link.hang_up()  # or Redis would give what comes next to nobody
                raise
            meant = self.response_callbacks.get(words[0])
            return meant(reply) if meant else reply
        async with asyncio.timeout(self.limit):
            return await super().execute_command(*words, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        pipeline = _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.limit = self.limit
        return pipeline


def busy(redis: Redis) -> int:
    """Connections and links of this client on which somebody waits now."""
    pool = redis.connection_pool
    on_links = redis.links.busy if isinstance(redis, Client) and redis.links else 0
    return on_links + (pool.busy if isinstance(pool, TimedConnectionPool) else 0)


class _Pipeline(Pipeline):
    limit: float | None = None

    async def parse_response(self, *words: Any, **options: Any) -> Any:
        reply = super().parse_response(*words, **options)
        return await _suspecting(_expiry(self.connection_pool), reply)

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        async with asyncio.timeout(self.limit):
            return await super().execute(raise_on_error)


async def _asked(link: MultiplexedConnection, words: Command) -> Any:
    """The reply. Raises what redis-py would."""
    try:
        [reply] = await link.ask([pack(words)])
    except ReadModelError as error:
        why = f" ({link.trouble})" if link.trouble else ""
        raise Disconnected(f"Redis does not answer{why}.") from error
    if isinstance(reply, ReplyError):
        raise DefaultParser.parse_error(str(reply))  # type: ignore[no-untyped-call]
    return reply
