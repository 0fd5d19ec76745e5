"""Redis clients: redis-py with one time limit per round trip, and multiplexed connections."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from hiredis import ReplyError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection
from redis.connection import DefaultParser
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import MasterDownError, ReadOnlyError

from readside.errors import ReadModelError
from readside.projection import Command
from readside.redis_connection.connection import MultiplexedConnection
from readside.redis_connection.connection_expiry import ConnectionExpiry
from readside.redis_connection.encoding import pack

_HASH_TAG = re.compile(r"{(.+?)}")

_CLOSED = "the handler is closed"
"""In the message of uvloop's RuntimeError."""

_MULTIPLEXED_COMMANDS = {"FCALL", "XREADGROUP"}
"""Sent for every few events; on a multiplexed connection they take a quarter of the CPU."""


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
    """A multiplexed connection for each partition, so that none waits for the replies of another."""

    def __init__(self, create: Callable[[], MultiplexedConnection]) -> None:
        self._create = create
        self._by_tag: dict[str, MultiplexedConnection] = {}

    @property
    def busy(self) -> int:
        return sum(connection.in_flight > 0 for connection in self._by_tag.values())

    def connection_for(self, words: Command) -> MultiplexedConnection:
        """Returns the connection for the hash tag of the first key, if it has one."""
        tags = (_HASH_TAG.search(word) for word in words if isinstance(word, str))
        tag = next((tag[1] for tag in tags if tag), "")
        if tag not in self._by_tag:
            self._by_tag[tag] = self._create()
        return self._by_tag[tag]

    async def close(self) -> None:
        for connection in self._by_tag.values():
            await connection.close()


def _lost(error: RuntimeError) -> Exception:
    """Returns redis-py's error for a connection that was closed before the command was written.

    asyncio reports that when the reply is read; uvloop raises RuntimeError at once.
    """
    return Disconnected(str(error)) if _CLOSED in str(error) else error


def _pool(client: Redis | Pipeline) -> TimedConnectionPool:
    pool = client.connection_pool
    assert isinstance(pool, TimedConnectionPool)
    return pool


async def _expiring_at_replica(expiry: ConnectionExpiry, reply: Awaitable[Any]) -> Any:
    """Returns the reply; an error that only a replica sends expires all connections of the process."""
    try:
        return await reply
    except (ReadOnlyError, MasterDownError):
        expiry.suspect()
        raise


class Client(Redis):
    """A client with one time limit for every round trip.

    The driver's own limit arms a timer for each reply, and on Python 3.11 may swallow a cancellation.
    """

    timeout_seconds: float | None = None
    multiplexed: MultiplexedConnections | None = None

    @property
    def expiry(self) -> ConnectionExpiry:
        return _pool(self).expiry

    @property
    def busy(self) -> int:
        """The number of connections that wait for a reply."""
        return (self.multiplexed.busy if self.multiplexed else 0) + _pool(self).busy

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Closes all connections."""
        if self.multiplexed is not None:
            await self.multiplexed.close()
        await super().aclose()
        await self.connection_pool.disconnect()

    async def parse_response(self, *words: Any, **options: Any) -> Any:
        reply = super().parse_response(*words, **options)
        return await _expiring_at_replica(self.expiry, reply)

    async def execute_command(self, *words: Any, **options: Any) -> Any:
        if self.multiplexed is not None and words[0] in _MULTIPLEXED_COMMANDS:
            connection = self.multiplexed.connection_for(words)
            try:
                reply = await _reply(connection, words)
            except asyncio.CancelledError:
                if b"BLOCK" in words:
                    connection.reconnect()  # or Redis would deliver the next entries to this read
                raise
            callback = self.response_callbacks.get(words[0])
            return callback(reply) if callback else reply
        try:
            async with asyncio.timeout(self.timeout_seconds):
                return await super().execute_command(*words, **options)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise _lost(error) from error

    async def execute_asking(self, *words: Any, **options: Any) -> Any:
        """Executes a command at the node to which the owner of its slot is moving that slot."""
        pipeline: Any = self.pipeline(transaction=False)
        pipeline.execute_command("ASKING")
        pipeline.execute_command(*words, **options)
        return (await pipeline.execute())[1]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        pipeline = _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.timeout_seconds = self.timeout_seconds
        return pipeline


class _Pipeline(Pipeline):
    timeout_seconds: float | None = None

    async def parse_response(self, *words: Any, **options: Any) -> Any:
        reply = super().parse_response(*words, **options)
        return await _expiring_at_replica(_pool(self).expiry, reply)

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        try:
            async with asyncio.timeout(self.timeout_seconds):
                return await super().execute(raise_on_error)
        except RuntimeError as error:
            raise _lost(error) from error


async def _reply(connection: MultiplexedConnection, words: Command) -> Any:
    """Returns the reply. Raises what redis-py would."""
    try:
        [reply] = await connection.send([pack(words)])
    except ReadModelError as error:
        cause = f" ({connection.last_error})" if connection.last_error else ""
        raise Disconnected(f"Redis does not reply{cause}.") from error
    if isinstance(reply, ReplyError):
        raise DefaultParser.parse_error(str(reply))  # type: ignore[no-untyped-call]
    return reply
