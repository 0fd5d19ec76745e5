"""Checks that the entries that were in the stream when verification started are applied when it ends."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from readside.redis_functions.keys import Keys
from readside.verify.difference import Difference

POLL_SECONDS = 0.1
"""Seconds between two checks of what may still be in flight."""

EntryId = tuple[int, int]


class StreamProgress:
    """The progress of the active generation's consumer group in the stream of its partition."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._end: EntryId = (0, 0)

    async def start(self) -> None:
        """Records the present end of the stream."""
        try:
            stream: Any = await self._redis.xinfo_stream(self._keys.partition.stream)
        except ResponseError:  # there is no stream
            return
        self._end = _entry_id(stream["last-generated-id"])

    async def differences(self, deadline: float) -> list[Difference]:
        """Returns why the group has not applied the entries by `deadline` (time.monotonic)."""
        while True:
            differences = await self._differences()
            if not differences or time.monotonic() > deadline:
                return differences
            await asyncio.sleep(POLL_SECONDS)

    async def _differences(self) -> list[Difference]:
        partition = self._keys.partition
        if not await self._redis.exists(partition.cursor):
            return [self._difference("cursor", "the cursor of the relay", None)]
        try:
            groups: Any = await self._redis.xinfo_groups(partition.stream)
        except ResponseError:
            return [self._difference("stream", "a stream", None)]
        for group in groups:
            if group["name"] == self._keys.generation:
                if await self._has_applied(group):
                    return []
                return [self._difference("stream", "applied", "entries are not applied")]
        return [self._difference("stream", "a group of the active generation", None)]

    async def _has_applied(self, group: dict[str, Any]) -> bool:
        if _entry_id(group["last-delivered-id"]) < self._end:
            return False
        pending: Any = await self._redis.xpending(self._keys.partition.stream, group["name"])
        return not pending["pending"] or _entry_id(pending["min"]) > self._end

    def _difference(self, key: str, should: str, found: str | None) -> Difference:
        return Difference(key=key, should=should, found=found, shared=True)


def _entry_id(text: str) -> EntryId:
    milliseconds, _, number = text.partition("-")
    return int(milliseconds), int(number)
