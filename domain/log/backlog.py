"""How far the log is ahead of the streams: for whoever watches, never for what decides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from domain.log.cursor import decoded

if TYPE_CHECKING:
    import asyncpg

MAX_COUNTED = 1_000
"""Events of a partition that are counted; who is that far behind need not know how far."""

# Every branch is an index range that starts at the cursor, so the cost does not depend on the log's length. A
# window that is read in pages has been appended up to its page.
_BACKLOG = f"""
    select p.number as partition, written.position as written, fresh.count, other.count as foreign,
           case when fresh.count > 0 then
               greatest(0, extract(epoch from clock_timestamp() - fresh.oldest))::float8
           end as oldest
    from unnest($1::smallint[], $2::text[], $3::bigint[]) as p (number, carried, page)
    cross join lateral (
        select coalesce(max(position), 0) as position from events where partition = p.number
    ) as written
    cross join lateral (
        select count(*)::int as count, min(occurred_at) as oldest from (
            (select occurred_at from events
             where p.page is null and partition = p.number
               and xid >= pg_snapshot_xmax(p.carried::pg_snapshot)
               and xid < pg_snapshot_xmax(pg_current_snapshot())
             order by xid limit {MAX_COUNTED})
            union all
            (select occurred_at from events
             where p.page is null and partition = p.number
               and xid = any(array(select pg_snapshot_xip(p.carried::pg_snapshot))))
            union all
            (select occurred_at from events
             where partition = p.number and position > p.page
               and xid >= pg_snapshot_xmax(p.carried::pg_snapshot)
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

_LATEST = """
    select e.partition, e.user_id, e.version, e.type, e.occurred_at
    from unnest($1::smallint[]) as p (number) cross join lateral (
        select * from events where partition = p.number order by position desc limit $2
    ) as e
    order by e.occurred_at desc limit $2
"""


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """Of one partition."""

    written: int
    """The highest position in the log; positions may be left out, and are shared by all partitions."""
    unpublished: int | None
    """Events that are not in the stream yet, MOST at most; None if there is no cursor to know it by."""
    oldest: float | None
    """Seconds since the oldest of them happened; None if there is none."""
    foreign: int = 0
    """Events of a restored dump whose transactions this server has not reached, MOST at most.

    The relay leaves them out of its windows: a rebuild carries them.
    """


class Latest(msgspec.Struct, frozen=True, kw_only=True):
    """An event without what it says."""

    partition: int
    user_id: UUID
    version: int
    type: str
    occurred_at: datetime


async def backlog(pool: asyncpg.Pool, cursors: Mapping[int, str | None]) -> dict[int, Backlog]:
    """By partition, given the cursors of the relay as Redis has them. Raises what asyncpg raises."""
    known = {number: decoded(raw) for number, raw in cursors.items()}
    carried = [None if cursor is None else str(cursor.snapshot) for cursor in known.values()]
    pages = [cursor.page.position if cursor and cursor.page else None for cursor in known.values()]
    rows = await pool.fetch(_BACKLOG, list(known), carried, pages)
    return {
        row["partition"]: _backlog(row, known=known[row["partition"]] is not None) for row in rows
    }


async def latest(pool: asyncpg.Pool, partitions: int, count: int) -> list[Latest]:
    """The last events that happened, the newest first. Raises what asyncpg raises."""
    rows = await pool.fetch(_LATEST, range(partitions), count)
    return [Latest(**row) for row in rows]


def _backlog(row: asyncpg.Record, *, known: bool) -> Backlog:
    return Backlog(
        written=row["written"],
        unpublished=row["count"] if known else None,
        oldest=row["oldest"],
        foreign=row["foreign"],
    )
