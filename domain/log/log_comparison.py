"""Comparing what the relay has carried with the event log: was the log changed by anything but an append?

A restored dump, a failover that lost commits, deleted rows: each leaves a window of the cursor in which
events are missing or are others, or events that no transaction of this server's present has written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from domain.log.cursor import Mark, Snapshot, Window
from domain.log.log_identity import LogIdentity

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

# Which events these are, in two numbers: how many, and the sum of their marks. The instant is part of a mark
# because a log that was set back may give the same user the same version, position and transaction again.
DIGEST = """
    count(*) as count,
    coalesce(sum(('x' || right(user_id::text, 8))::bit(32)::bigint + version
                 + ((date_part('epoch', occurred_at) * 1000000)::bigint & 4294967295)), 0)::bigint as marks
"""

# Every branch is an index range of `events_window`, so the cost does not depend on the log's length.
_WINDOWS = f"""
    select w.partition, w.count, w.marks, digest.count as found, digest.marks as found_marks
    from unnest($1::smallint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
        as w (partition, since, until, position, count, marks)
    cross join lateral (
        select {DIGEST} from (
            select * from events where partition = w.partition
            and xid >= pg_snapshot_xmax(w.since::pg_snapshot) and xid < pg_snapshot_xmax(w.until::pg_snapshot)
            union all
            select * from events where partition = w.partition
            and xid = any(array(select pg_snapshot_xip(w.since::pg_snapshot)))
        ) as e where position <= w.position and pg_visible_in_snapshot(xid, w.until::pg_snapshot)
    ) as digest
"""

# Ordered, so that the plan is a range of the primary key: as a rule no such event is there, and a plan that
# hopes to meet one soon would read the whole log.
_OUTSIDE = """(
    select true from events
    where partition = m.partition and position {}
      and (pg_visible_in_snapshot(xid, m.snapshot::pg_snapshot)
           or xid >= pg_snapshot_xmax(pg_current_snapshot()))
    order by position limit 1
)"""

# Above the mark there is what has been written since; below its lowest position there is nothing.
_MARKS = f"""
    select m.partition, pg_current_snapshot()::text as now,
           coalesce((select max(position) from events where partition = m.partition), 0) as position,
           coalesce((select min(position) from events where partition = m.partition), 0) as lowest,
           coalesce({_OUTSIDE.format("> m.position")}, {_OUTSIDE.format("< m.lowest")}, false) as excluded
    from unnest($1::smallint[], $2::text[], $3::bigint[], $4::bigint[])
        as m (partition, snapshot, position, lowest)
"""


class LogState(msgspec.Struct, frozen=True, kw_only=True):
    """The log and its server at one moment."""

    now: Snapshot
    era: str
    """Which run of which server numbers the transactions."""
    identity: LogIdentity
    file: int
    """The file (relfilenode) of the table: another one after TRUNCATE, and after VACUUM FULL."""


async def unequal_windows(
    connection: PoolConnectionProxy, windows: Sequence[tuple[int, Window]], *, patience: float
) -> set[int]:
    """Returns the partitions of those windows whose events the log does not hold any more."""
    rows = await connection.fetch(
        _WINDOWS,
        [partition for partition, _ in windows],
        [str(window.since) for _, window in windows],
        [str(window.until) for _, window in windows],
        [window.position for _, window in windows],
        [window.count for _, window in windows],
        [window.marks for _, window in windows],
        timeout=patience,
    )
    return {
        row["partition"]
        for row in rows
        if (row["count"], row["marks"]) != (row["found"], row["found_marks"])
    }


async def outside(
    connection: PoolConnectionProxy, marks: Mapping[int, Mark], *, patience: float
) -> tuple[dict[int, Mark], set[int]]:
    """Returns new marks, and the partitions that hold events which no window will ever show."""
    rows = await connection.fetch(
        _MARKS,
        list(marks),
        [str(mark.snapshot) for mark in marks.values()],
        [mark.position for mark in marks.values()],
        [mark.lowest for mark in marks.values()],
        timeout=patience,
    )
    found = {
        row["partition"]: Mark(Snapshot.parse(row["now"]), row["position"], row["lowest"])
        for row in rows
    }
    return found, {row["partition"] for row in rows if row["excluded"]}
