"""An event log in memory, and a relay from it into the real streams."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from domain.envelope import Envelope, partition_of
from readside.redis_functions.keys import Partition
from tests.readside.envelopes import PARTITIONS

if TYPE_CHECKING:
    from readside.redis_functions.stream import RedisStream


class Log:
    """The EventSource port, in order of commit."""

    def __init__(self) -> None:
        self.committed: dict[int, list[Envelope]] = defaultdict(list)
        self.away = False
        """Whether to raise a driver's error of a server that is away."""
        self.hidden = 0
        """How many of the newest events the pages and histories omit, wrongly."""
        self.while_paging: Callable[[], Awaitable[None]] | None = None
        """Called between two pages."""

    def commit(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            self.committed[partition_of(envelope.aggregate_id, PARTITIONS)].append(envelope)

    async def history(
        self, aggregate_id: UUID, after: int, limit: int | None = None
    ) -> list[Envelope]:
        self._reach()
        events = self._visible(partition_of(aggregate_id, PARTITIONS))
        found = [e for e in events if e.aggregate_id == aggregate_id and e.version > after]
        return sorted(found, key=lambda e: e.version)[:limit]

    async def newest(self, aggregate_id: UUID) -> Envelope | None:
        self._reach()
        events = self._visible(partition_of(aggregate_id, PARTITIONS))
        found = [e for e in events if e.aggregate_id == aggregate_id]
        return max(found, key=lambda e: e.version, default=None)

    async def events_by_aggregate(
        self, partition: int, size: int, after: int = 0
    ) -> AsyncIterator[tuple[int, list[Envelope]]]:
        self._reach()
        start, size = after, min(size, 2)
        while page := self._visible(partition)[start : start + size]:
            start += len(page)
            yield start, page
            if self.while_paging is not None:
                await self.while_paging()

    async def aggregates(self, partition: int, size: int) -> AsyncIterator[dict[UUID, str]]:
        self._reach()
        first = [event for event in self._visible(partition) if event.version == 1]
        for start in range(0, len(first), size):
            yield {event.aggregate_id: event.aggregate for event in first[start : start + size]}

    async def events_of(
        self, aggregates: Collection[UUID], size: int
    ) -> AsyncIterator[list[Envelope]]:
        events = [one for id_ in sorted(aggregates) for one in await self.history(id_, 0)]
        for start in range(0, len(events), size):
            yield events[start : start + size]

    async def existing(self, aggregates: Collection[UUID]) -> dict[UUID, str]:
        return {
            id_: first.aggregate for id_ in aggregates for first in await self.history(id_, 0, 1)
        }

    async def count(self, partition: int) -> int:
        self._reach()
        return len(self.committed[partition])

    def _visible(self, partition: int) -> list[Envelope]:
        events = self.committed[partition]
        return events[: len(events) - self.hidden]

    def _reach(self) -> None:
        if self.away:
            raise ConnectionError("the log is away")


class Append(msgspec.Struct, frozen=True, kw_only=True):
    partition: int
    expected: bytes
    cursor: bytes
    entries: list[bytes]


async def relay(log: Log, stream: RedisStream) -> None:
    """Runs one pass: creates a missing stream at the end of the log, or appends new events."""
    for partition in range(PARTITIONS):
        [cursor] = await stream.cursors([partition])
        events = log.committed[partition]
        end = str(len(events)).encode()
        if cursor is None:
            await stream.reset(partition, None, end)
            continue
        assert not isinstance(cursor, Exception)
        entries = [msgspec.json.encode(event) for event in events[int(cursor) :]]
        if entries:
            append = Append(partition=partition, expected=cursor, cursor=end, entries=entries)
            assert await stream.append([append]) == [True]


def partition_for(aggregate_id: UUID) -> Partition:
    return Partition(partition_of(aggregate_id, PARTITIONS))
