"""Does the stream flow? What was in it at the beginning must have been dealt with in the end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from readside.redis_functions.keys import Keys
from readside.verify.difference import Difference

if TYPE_CHECKING:
    from redis.asyncio import Redis

POLL = 0.1
"""Seconds between two looks at what is on its way."""

Entry = tuple[int, int]


class StreamProgress:
    """The stream of a partition and the group of one generation."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._mark: Entry = (0, 0)

    async def mark(self) -> None:
        """From here on: whatever is in the stream by now."""
        try:
            stream: Any = await self._redis.xinfo_stream(self._keys.partition.stream)
        except ResponseError:  # there is none
            return
        self._mark = _entry(stream["last-generated-id"])

    async def differences(self, deadline: float) -> list[Difference]:
        """What keeps the stream from flowing, once it has had until `deadline` (time.monotonic)."""
        while True:
            found = await self._held_back()
            if not found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(POLL)

    async def _held_back(self) -> list[Difference]:
        place = self._keys.partition
        if not await self._redis.exists(place.cursor):
            return [self._difference("cursor", "the cursor of the relay", None)]
        try:
            groups: Any = await self._redis.xinfo_groups(place.stream)
        except ResponseError:
            return [self._difference("stream", "a stream", None)]
        mine = [group for group in groups if group["name"] == self._keys.generation]
        if not mine:
            return [self._difference("stream", "a group of the generation that serves", None)]
        done = await self._dealt_with(mine[0])
        return [] if done else [self._difference("stream", "applied", "entries are not applied")]

    async def _dealt_with(self, group: dict[str, Any]) -> bool:
        if _entry(group["last-delivered-id"]) < self._mark:
            return False
        pending: Any = await self._redis.xpending(self._keys.partition.stream, group["name"])
        return not pending["pending"] or _entry(pending["min"]) > self._mark

    def _difference(self, key: str, should: str, found: str | None) -> Difference:
        number = self._keys.partition.number
        return Difference(partition=number, key=key, should=should, found=found, shared=True)


def _entry(name: str) -> Entry:
    time_, _, number = name.partition("-")
    return int(time_), int(number)
