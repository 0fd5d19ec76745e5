"""Clients of Redis: redis-py, with one time limit for a round trip, and functions called on a link."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from hiredis import ReplyError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.connection import DefaultParser
from redis.exceptions import ConnectionError as Disconnected

from readside.errors import ReadModelError
from readside.packing import pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from readside.link import Link
    from readside.projection import Command


_TAG = re.compile(r"{(.+?)}")


class Connections(BlockingConnectionPool):
    @property
    def busy(self) -> int:
        return len(self._in_use_connections)


def busy(redis: Redis) -> int:
    """Connections of this client on which somebody waits now."""
    pool = redis.connection_pool
    return pool.busy if isinstance(pool, Connections) else 0


class Links:
    """A link for each partition, so that none waits for the replies of another. Leaving it closes them."""

    def __init__(self, made: Callable[[], Link]) -> None:
        self._made = made
        self._links: dict[str, Link] = {}

    def of(self, words: Command) -> Link:
        """By the hash tag of the first key; what has no key travels with what has no tag."""
        tag = _TAG.search(words[3]) if len(words) > 3 else None
        name = tag[1] if tag else ""
        if name not in self._links:
            self._links[name] = self._made()
        return self._links[name]

    async def __aenter__(self) -> Links:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with AsyncExitStack() as stack:
            for link in self._links.values():
                await stack.enter_async_context(link)


class Client(Redis):
    """A client whose every round trip has one time limit, which is ours.

    The driver's own arms a timer for each reply, and on Python 3.11 may swallow a cancellation.
    """

    limit: float | None = None
    links: Links | None = None
    """On which single calls of functions travel, because that takes a quarter of the CPU."""

    async def execute_command(self, *words: Any, **options: Any) -> Any:
        if self.links is not None and words[0] == "FCALL":
            return await _called(self.links.of(words), words)
        async with asyncio.timeout(self.limit):
            return await super().execute_command(*words, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        pipeline = _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.limit = self.limit
        return pipeline


class _Pipeline(Pipeline):
    limit: float | None = None

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        async with asyncio.timeout(self.limit):
            return await super().execute(raise_on_error)


async def _called(link: Link, words: Command) -> Any:
    """The reply. Raises what redis-py would."""
    try:
        [reply] = await link.ask([pack(words)])
    except ReadModelError as error:
        raise Disconnected("Redis does not answer.") from error
    if isinstance(reply, ReplyError):
        raise DefaultParser.parse_error(str(reply))  # type: ignore[no-untyped-call]
    return reply
