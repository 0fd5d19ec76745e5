"""The event streams for the relay: reads its cursors, appends entries, resets a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from redis.asyncio import Redis

from readside.redis_functions.functions import FunctionCall, Functions, is_unreachable
from readside.redis_functions.keys import TANDEM, Namespace, Partition


class AppendRequest(Protocol):
    """A compare-and-append: moves the cursor from `expected` to `cursor` and appends the entries."""

    @property
    def partition(self) -> int: ...
    @property
    def expected(self) -> bytes: ...
    @property
    def cursor(self) -> bytes: ...
    @property
    def entries(self) -> Sequence[bytes]: ...


class RedisStream:
    """The relay's stream port on Redis."""

    def __init__(self, redis: Redis, namespace: Namespace = TANDEM) -> None:
        """`redis` must not retry: the relay handles a lost reply."""
        self._redis = redis
        self._functions = Functions(redis, namespace)
        self._partition = namespace.partition

    async def cursors(self, partitions: Sequence[int]) -> list[bytes | Exception | None]:
        """Returns the cursor of each partition; the error of one that is on an unreachable node."""
        pipeline = self._redis.pipeline(transaction=False)
        for partition in partitions:
            pipeline.get(self._partition(partition).cursor)
        replies: list[bytes | Exception | None] = await pipeline.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception) and not is_unreachable(reply):
                raise reply
        return replies

    async def reset(self, partition: int, expected: bytes | None, cursor: bytes) -> bool:
        """Replaces the stream by an empty one at this cursor; False if `expected` is not the cursor."""
        keys = self._partition(partition)
        names = [keys.stream, keys.cursor, keys.generations]
        return bool(await self._functions.call("reset_stream", names, expected or b"", cursor))

    async def append(self, appends: Sequence[AppendRequest]) -> list[bool | Exception]:
        """Returns for each partition whether `expected` was the cursor, and the entries were appended.

        For a partition on an unreachable node, returns its error.
        """
        replies = await self._functions.call_reachable(
            [_append_call(self._partition(append.partition), append) for append in appends]
        )
        return [reply if isinstance(reply, Exception) else reply == 1 for reply in replies]


def _append_call(keys: Partition, append: AppendRequest) -> FunctionCall:
    return FunctionCall(
        "append",
        [keys.stream, keys.cursor, keys.last_erasure],
        [append.expected, append.cursor, *append.entries],
    )
