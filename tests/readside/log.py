"""An event log in memory, and the part of the relay that carries it into the real streams."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from domain.events import Envelope, UserId, partition_of
from readside.keys import Partition
from tests.readside.stories import PARTITIONS

if TYPE_CHECKING:
    from readside.stream import RedisStream


class Log:
    """The History port. What was committed is in order of commit, as positions would be."""

    def __init__(self) -> None:
        self.committed: dict[int, list[Envelope]] = defaultdict(list)

    def commit(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            self.committed[partition_of(envelope.user_id, PARTITIONS)].append(envelope)

    async def history(self, user_id: UserId, after: int) -> list[Envelope]:
        events = self.committed[partition_of(user_id, PARTITIONS)]
        found = [e for e in events if e.user_id == user_id and e.version > after]
        return sorted(found, key=lambda e: e.version)

    async def partition(self, partition: int, size: int) -> AsyncIterator[list[Envelope]]:
        start = 0
        while page := self.committed[partition][start : start + size]:
            yield page
            start += size

    async def count(self, partition: int) -> int:
        return len(self.committed[partition])


class Append(msgspec.Struct, frozen=True, kw_only=True):
    partition: int
    expected: bytes
    cursor: bytes
    entries: list[bytes]


async def relay(log: Log, stream: RedisStream) -> None:
    """One pass: a missing cursor begins the stream behind the log; otherwise what is new is appended."""
    for partition in range(PARTITIONS):
        [cursor] = await stream.cursors([partition])
        events = log.committed[partition]
        end = str(len(events)).encode()
        if cursor is None:
            await stream.begin(partition, None, end)
            continue
        entries = [msgspec.json.encode(event) for event in events[int(cursor) :]]
        if entries:
            append = Append(partition=partition, expected=cursor, cursor=end, entries=entries)
            assert await stream.append([append]) == [True]


def partition_for(user_id: UserId) -> Partition:
    return Partition(partition_of(user_id, PARTITIONS))
