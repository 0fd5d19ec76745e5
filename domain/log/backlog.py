"""Measures how far the streams are behind the log: for monitoring, and before an aggregate is missing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from domain.envelope import STORED_ID
from domain.log.cursor import decode_cursor

MAX_COUNTED = 1_000
"""Events per partition that are counted; beyond that the exact number does not matter."""

# Every branch is an index range that starts at the cursor, so the cost does not depend on the log's length. A
# window that is read in pages has been appended up to the position of its page.
_BACKLOG = f"""
    select p.number as partition, written.position as written, fresh.count, other.count as foreign,
           case when fresh.count > 0 then
               greatest(0, extract(epoch from clock_timestamp() - fresh.oldest))::float8
           end as oldest
    from unnest($1::smallint[], $2::text[], $3::bigint[]) as p (number, snapshot, page)
    cross join lateral (
        select coalesce(max(position), 0) as position from events where partition = p.number
    ) as written
    cross join lateral (
        select count(*)::int as count, min(occurred_at) as oldest from (
            (select occurred_at from events
             where p.page is null and partition = p.number
               and xid >= pg_snapshot_xmax(p.snapshot::pg_snapshot)
               and xid < pg_snapshot_xmax(pg_current_snapshot())
             order by xid limit {MAX_COUNTED})
            union all
            (select occurred_at from events
             where p.page is null and partition = p.number
               and xid = any(array(select pg_snapshot_xip(p.snapshot::pg_snapshot))))
            union all
            (select occurred_at from events
             where partition = p.number and position > p.page
               and xid >= pg_snapshot_xmax(p.snapshot::pg_snapshot)
             order by position limit {MAX_COUNTED})
        ) as e
    ) as fresh
    cross join lateral (
        select count(*)::int as count from (
            select from events
            where partition = p.number and xid >= pg_snapshot_xmax(pg_current_snapshot())
            order by xid limit {MAX_COUNTED}
        ) as e
    ) as other
"""

_LATEST_EVENTS = f"""
    select e.partition, e.aggregate, e.{STORED_ID} as aggregate_id, e.version, e.type, e.occurred_at
    from unnest($1::smallint[]) as p (number) cross join lateral (
        select * from events where partition = p.number order by position desc limit $2
    ) as e
    order by e.occurred_at desc limit $2
"""


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    written: int
    """The highest position in the log. Positions have gaps, and are shared by all partitions."""
    unpublished: int | None
    """Events that are not in the stream yet, at most MAX_COUNTED; None if there is no cursor."""
    oldest: float | None
    """The age of the oldest of them in seconds; None without a backlog."""
    foreign: int = 0
    """Events of a restored dump whose transaction numbers this server has not reached, at most MAX_COUNTED.

    The relay leaves them out of its windows; a rebuild reads them.
    """


class Latest(msgspec.Struct, frozen=True, kw_only=True):
    """An event without its data."""

    partition: int
    aggregate: str
    aggregate_id: UUID
    version: int
    type: str
    occurred_at: datetime


async def backlog(
    database: asyncpg.Pool | asyncpg.Connection, cursors: Mapping[int, str | None]
) -> dict[int, Backlog]:
    """Returns the backlog by partition, given the encoded cursors. Raises what asyncpg raises."""
    decoded = {number: decode_cursor(raw) for number, raw in cursors.items()}
    snapshots = [None if cursor is None else str(cursor.snapshot) for cursor in decoded.values()]
    pages = [
        cursor.page.position if cursor and cursor.page else None for cursor in decoded.values()
    ]
    rows = await database.fetch(_BACKLOG, list(decoded), snapshots, pages)
    return {
        row["partition"]: Backlog(
            written=row["written"],
            unpublished=row["count"] if decoded[row["partition"]] else None,
            oldest=row["oldest"],
            foreign=row["foreign"],
        )
        for row in rows
    }


async def latest(pool: asyncpg.Pool, partitions: int, count: int) -> list[Latest]:
    """Returns the `count` latest events, newest first. Raises what asyncpg raises."""
    rows = await pool.fetch(_LATEST_EVENTS, range(partitions), count)
    return [Latest(**row) for row in rows]
