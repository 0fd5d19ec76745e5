"""Reads the event log for the relay: the events that became visible between two snapshots."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from domain.connection_pool import ConnectionPool
from domain.envelope import Envelope
from domain.log.cursor import Bounds, Snapshot, Window
from domain.log.envelope_rows import ENVELOPE, envelope_from_row
from domain.log.log_comparison import DIGEST, SERVER_EPOCH, LogComparison, require_primary
from domain.log.long_statements import MAX_STATEMENT_SECONDS, fetch_long

_ENTRY = f"{ENVELOPE}, e.position, e.partition, e.xid"

_CURRENT_SNAPSHOT = f"select pg_current_snapshot()::text as snapshot, {SERVER_EPOCH}"

# The statement reads with the snapshot that it returns, so every event it sees is visible in that snapshot.
# Events of a restored dump are the exception: their transaction numbers may be in the future, or belong to
# transactions that run now. They are left for a later window. Every branch is an index range of
# `events_window` that starts at the snapshot, so the cost does not depend on the log's length.
_VISIBLE_SINCE = f"""
    with fresh as materialized (
        select e.* from unnest($1::smallint[]) as p (partition) cross join lateral (
            (select * from events where partition = p.partition and xid >= $2
             and xid < pg_snapshot_xmax(pg_current_snapshot())
             and pg_visible_in_snapshot(xid, pg_current_snapshot()) order by xid limit $4)
            union all
            (select * from events where partition = p.partition and xid = any($3::xid8[])
             and pg_visible_in_snapshot(xid, pg_current_snapshot()))
        ) as e
    )
    select pg_current_snapshot()::text as snapshot, {SERVER_EPOCH}, {_ENTRY}
    from (select) as always left join fresh e on true order by e.position
"""

# A long window is read in pages of the primary key, from its lowest position on.
_PAGE_OF_WINDOW = f"""
    select {_ENTRY} from events e
    where partition = $1 and position > $2 and (xid >= $3 or xid = any($4::xid8[]))
      and pg_visible_in_snapshot(xid, $5::text::pg_snapshot)
    order by position limit $6
"""

# Materialized, or a generic plan would scan the primary key from the beginning of the log.
_LOWEST_POSITION_OF_WINDOW = """
    with fresh as materialized (
        (select position from events where partition = $1 and xid >= $2 and xid < $4)
        union all
        (select position from events where partition = $1 and xid = any($3::xid8[]))
    )
    select coalesce(min(position), 0) - 1 from fresh
"""

_PARTITION_SUMMARY = f"""
    select coalesce(max(position), 0) as position, coalesce(max(xid::text::bigint), 0) as max_xid, {DIGEST},
           (select coalesce(max(position), 0) from events where partition = $1) as highest,
           (select coalesce(min(position), 0) from events where partition = $1) as lowest
    from events where partition = $1 and pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the log."""

    position: int
    partition: int
    xid: int
    envelope: Envelope

    @property
    def checksum(self) -> int:
        """A number that another event at this position would hardly have; DIGEST computes it in SQL."""
        envelope = self.envelope
        microseconds = (envelope.occurred_at - _EPOCH) // timedelta(microseconds=1)
        return (
            (envelope.aggregate_id.int & 0xFFFFFFFF)
            + envelope.version
            + (microseconds & 0xFFFFFFFF)
        )


class VisibleEntries(msgspec.Struct, frozen=True, kw_only=True):
    """The entries that became visible between an earlier snapshot and `snapshot`, in order of position."""

    snapshot: Snapshot
    server_epoch: str
    entries: list[Entry]


class RelayLog:
    """The log as the relay reads it. Raises what asyncpg raises, and TimeoutError without a connection."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self._connections = ConnectionPool(pool, timeout_seconds=MAX_STATEMENT_SECONDS)
        self.comparison = LogComparison(pool)

    async def current_snapshot(self) -> tuple[Snapshot, str]:
        """Returns the present snapshot and the server epoch of its transaction numbers."""
        [row] = await self._connections.fetch(_CURRENT_SNAPSHOT)
        require_primary(row)
        return Snapshot.parse(row["snapshot"]), row["server_epoch"]

    async def visible_since(
        self, snapshot: Snapshot, partitions: Collection[int], limit: int
    ) -> VisibleEntries:
        """Returns what became visible since `snapshot`.

        If a partition has `limit` entries or more, some may be missing: read the window in pages.
        """
        rows = await self._connections.fetch(
            _VISIBLE_SINCE, list(partitions), snapshot.xmax, list(snapshot.running), limit
        )
        require_primary(rows[0])
        return VisibleEntries(
            snapshot=Snapshot.parse(rows[0]["snapshot"]),
            server_epoch=rows[0]["server_epoch"],
            entries=[_entry_from_row(row) for row in rows if row["position"] is not None],
        )

    async def page(self, partition: int, window: Window, limit: int) -> list[Entry]:
        """Returns the next entries of a window, after its position."""
        rows = await self._connections.fetch(
            _PAGE_OF_WINDOW,
            partition,
            window.position,
            window.since.xmax,
            list(window.since.running),
            str(window.until),
            limit,
        )
        return [_entry_from_row(row) for row in rows]

    async def position_before(self, partition: int, window: Window) -> int:
        """Returns a position up to which nothing became visible in the window."""
        since = window.since
        row = await fetch_long(
            self.pool,
            _LOWEST_POSITION_OF_WINDOW,
            *(partition, since.xmax, list(since.running), window.until.xmax),
        )
        return max(0, int(row[0]))

    async def summary(self, partition: int, until: Snapshot) -> tuple[Window, Bounds]:
        """Returns all events of a partition that `until` shows, as one window, and their bounds."""
        row = dict(await fetch_long(self.pool, _PARTITION_SUMMARY, partition, str(until)))
        bounds = Bounds(until, row.pop("highest"), row.pop("lowest"))
        return Window(since=Snapshot(1), until=until, **row), bounds


def _entry_from_row(row: asyncpg.Record) -> Entry:
    return Entry(
        position=row["position"],
        partition=row["partition"],
        xid=row["xid"],
        envelope=envelope_from_row(row),
    )
