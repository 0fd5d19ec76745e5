"""Reads the event log for the read side: a history, and the events of a partition, aggregate by aggregate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from uuid import UUID

import asyncpg

from domain.connection_pool import ConnectionPool
from domain.envelope import STORED_ID, Envelope
from domain.log.envelope_rows import ENVELOPE, envelope_from_row
from domain.log.long_statements import MAX_STATEMENT_SECONDS, fetch_long

# Read models leave skipped events out when they are rebuilt; the relay does not need to know.
_WITH_SKIPPED = f"""
    {ENVELOPE},
    exists (
        select from skipped s where (s.{STORED_ID}, s.version) = (e.{STORED_ID}, e.version)
    ) as skipped
"""

_EVENTS_OF_AGGREGATE = f"""
    select {_WITH_SKIPPED} from events e
    where {STORED_ID} = $1 and version > $2 order by version limit $3
"""

_NEWEST_EVENT = f"""
    select {_WITH_SKIPPED} from events e where {STORED_ID} = $1 order by version desc limit 1
"""

_EVENTS_OF_AGGREGATES = f"""
    select {_WITH_SKIPPED} from events e
    where {STORED_ID} = any($1::uuid[]) and ({STORED_ID}, version) > ($2, $3)
    order by {STORED_ID}, version limit $4
"""

_WITH_EVENTS = f"""
    select distinct {STORED_ID} as id, aggregate from events where {STORED_ID} = any($1::uuid[])
"""

_AGGREGATES_OF_PARTITION = f"""
    select position, {STORED_ID} as id, aggregate from events
    where partition = $1 and position > $2 and version = 1 order by position limit $3
"""

# Aggregates whose first event is in this page: version 1, or the lowest one of a log that has lost it.
_STARTED_IN_PAGE = f"""
    with page as materialized (
        select position, {STORED_ID} as id, version from events
        where partition = $1 and position > $2 order by position limit $3
    )
    select max(position) as position, coalesce(array_agg(id) filter (
        where version = 1 or not exists (
            select from events b where b.{STORED_ID} = e.id and b.version < e.version
        )), '{{}}') as ids
    from page e having count(*) > 0
"""


class EventLog:
    """Read access to the log. Raises what asyncpg raises, and TimeoutError if no connection comes free."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._connections = ConnectionPool(pool, timeout_seconds=MAX_STATEMENT_SECONDS)

    async def history(
        self, aggregate_id: UUID, after: int, limit: int | None = None
    ) -> list[Envelope]:
        """Returns at most `limit` events of an aggregate above the version `after`, in order of version."""
        rows = await self._connections.fetch(_EVENTS_OF_AGGREGATE, aggregate_id, after, limit)
        return [envelope_from_row(row) for row in rows]

    async def newest(self, aggregate_id: UUID) -> Envelope | None:
        """Returns the last event of an aggregate; None if it has none."""
        rows = await self._connections.fetch(_NEWEST_EVENT, aggregate_id)
        return envelope_from_row(rows[0]) if rows else None

    async def existing(self, ids: Collection[UUID]) -> dict[UUID, str]:
        """Returns which of these ids have an event, each with the name of its aggregate."""
        rows = await self._connections.fetch(_WITH_EVENTS, list(ids))
        return {row["id"]: row["aggregate"] for row in rows}

    async def count(self, partition: int) -> int:
        """Returns the number of events of a partition."""
        statement = "select count(*) from events where partition = $1"
        return int((await fetch_long(self._pool, statement, partition))[0])

    async def count_aggregates(self, partitions: Collection[int]) -> int:
        """Returns the number of aggregates in these partitions."""
        statement = (
            "select count(*) from events where partition = any($1::smallint[]) and version = 1"
        )
        return int((await fetch_long(self._pool, statement, list(partitions)))[0])

    async def aggregates(self, partition: int, size: int) -> AsyncIterator[dict[UUID, str]]:
        """Yields the ids of a partition, each with its aggregate's name, in pages, in order of creation."""
        position = 0
        while rows := await self._connections.fetch(
            _AGGREGATES_OF_PARTITION, partition, position, size
        ):
            position = rows[-1]["position"]
            yield {row["id"]: row["aggregate"] for row in rows}
            if len(rows) < size:
                return

    async def events_of(self, ids: Collection[UUID], size: int) -> AsyncIterator[list[Envelope]]:
        """Yields all events of these aggregates, one by one, in order of version, in pages of `size` at most.

        The last page is not full.
        """
        last: tuple[UUID, int] = UUID(int=0), 0
        while True:
            rows = await self._connections.fetch(_EVENTS_OF_AGGREGATES, list(ids), *last, size)
            yield [envelope_from_row(row) for row in rows]
            if len(rows) < size:
                return
            last = rows[-1]["aggregate_id"], rows[-1]["version"]

    async def events_by_aggregate(
        self, partition: int, size: int, after: int = 0
    ) -> AsyncIterator[tuple[int, list[Envelope]]]:
        """Yields all events of a partition, aggregate by aggregate, in pages of `size` at most.

        Each page comes with a position: every aggregate that started at or below it is complete. Pages have
        separate snapshots, so later commits may be missing; read the stream from before the first page on.
        """
        # Half a page: if all of these events start aggregates, their later events fill more pages.
        half = max(1, size // 2)
        while started := await self._connections.fetch(_STARTED_IN_PAGE, partition, after, half):
            async for page in self.events_of(started[0]["ids"], size):
                if len(page) < size:
                    after = started[0]["position"]
                yield after, page
