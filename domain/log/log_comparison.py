"""Compares what the relay has published with the event log: was the log changed by anything but an append?

A restored dump, a failover that lost commits, deleted rows: each leaves a window of the cursor in which
events are missing or different, or events that no transaction of this server has written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg
import msgspec

from domain.connection_pool import NO_WRITES
from domain.envelope import STORED_ID
from domain.log import log_identity
from domain.log.cursor import Bounds, Snapshot, Window
from domain.log.log_identity import LogIdentity, Relation
from domain.log.long_statements import MAX_STATEMENT_SECONDS, long_statements

# Identifies the run of the server that numbers the transactions, and the database that holds this log. After
# a crash of one backend the server recovers without restarting its postmaster, but resets its statistics.
# `read_only`: every transaction of a standby is.
SERVER_EPOCH = """
    concat_ws(' ', extract(epoch from pg_postmaster_start_time()),
              (select extract(epoch from stats_reset) from pg_stat_bgwriter),
              (select oid from pg_database where datname = current_database())) as server_epoch,
    current_setting('transaction_read_only')::bool as read_only
"""

# Identifies a set of events by their number and the sum of their checksums. The time is part of a checksum
# because a restored log may give the same aggregate the same version, position and transaction again.
DIGEST = f"""
    count(*) as count,
    coalesce(sum(('x' || right({STORED_ID}::text, 8))::bit(32)::bigint + version
                 + ((date_part('epoch', occurred_at) * 1000000)::bigint & 4294967295)), 0)::bigint as checksum
"""

_LOG_STATE = f"""
    select pg_current_snapshot()::text as snapshot, {SERVER_EPOCH},
           coalesce(pg_relation_filenode(to_regclass('events')), 0)::bigint as filenode
"""

# Every branch is an index range of `events_window`, so the cost does not depend on the log's length.
_CHANGED_WINDOWS = f"""
    select distinct w.partition
    from unnest($1::smallint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
        as w (partition, since, until, position, count, checksum)
    cross join lateral (
        select {DIGEST} from (
            select * from events where partition = w.partition
            and xid >= pg_snapshot_xmax(w.since::pg_snapshot) and xid < pg_snapshot_xmax(w.until::pg_snapshot)
            union all
            select * from events where partition = w.partition
            and xid = any(array(select pg_snapshot_xip(w.since::pg_snapshot)))
        ) as e where position <= w.position and pg_visible_in_snapshot(xid, w.until::pg_snapshot)
    ) as digest
    where (w.count, w.checksum) <> (digest.count, digest.checksum)
"""

# Ordered, so that the plan is a range of the primary key: as a rule no such event exists, and a plan that
# expects to find one soon would read the whole log.
_EVENT_OUTSIDE = """(
    select true from events
    where partition = b.partition and position {}
      and (pg_visible_in_snapshot(xid, b.snapshot::pg_snapshot)
           or xid >= pg_snapshot_xmax(pg_current_snapshot()))
    order by position limit 1
)"""

# Above the highest position are the events written since; below the lowest there were none.
_COMPARE_BOUNDS = f"""
    select b.partition, pg_current_snapshot()::text as snapshot,
           coalesce((select max(position) from events where partition = b.partition), 0) as highest,
           coalesce((select min(position) from events where partition = b.partition), 0) as lowest,
           coalesce({_EVENT_OUTSIDE.format("> b.highest")}, {_EVENT_OUTSIDE.format("< b.lowest")}, false)
               as has_outside
    from unnest($1::smallint[], $2::text[], $3::bigint[], $4::bigint[])
        as b (partition, snapshot, highest, lowest)
"""


class LogState(msgspec.Struct, frozen=True, kw_only=True):
    """The log and its server at one moment."""

    snapshot: Snapshot
    server_epoch: str
    """Identifies the run of the server that numbers the transactions."""
    identity: LogIdentity
    filenode: int
    """The file (relfilenode) of the table: another one after TRUNCATE, and after VACUUM FULL."""


class LogComparison:
    """Compares cursors with the log. Raises what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def state(self) -> LogState:
        """Returns the present state of the log."""
        async with self._pool.acquire() as connection:
            identity = await log_identity.read_log_identity(connection)
            row = await connection.fetchrow(_LOG_STATE)
        assert row is not None
        require_primary(row)
        return LogState(
            snapshot=Snapshot.parse(row["snapshot"]),
            server_epoch=row["server_epoch"],
            identity=identity,
            filenode=row["filenode"],
        )

    async def relation(self, stored: LogIdentity | None, present: LogIdentity) -> Relation:
        """Compares the identity in a cursor with that of the log."""
        async with self._pool.acquire() as connection:
            return await log_identity.compare_identities(connection, stored, present)

    async def changed_partitions(self, windows: Sequence[tuple[int, Window]]) -> set[int]:
        """Returns the partitions of the windows whose events are missing in the log, or different."""
        if not windows:
            return set()
        async with long_statements(self._pool) as connection:
            rows = await connection.fetch(
                _CHANGED_WINDOWS,
                [partition for partition, _ in windows],
                [str(window.since) for _, window in windows],
                [str(window.until) for _, window in windows],
                [window.position for _, window in windows],
                [window.count for _, window in windows],
                [window.checksum for _, window in windows],
                timeout=MAX_STATEMENT_SECONDS,
            )
        return {row["partition"] for row in rows}

    async def compare_bounds(
        self, bounds: Mapping[int, Bounds]
    ) -> tuple[dict[int, Bounds], set[int]]:
        """Returns the present bounds, and the partitions with events that no window will ever show."""
        async with long_statements(self._pool) as connection:
            rows = await connection.fetch(
                _COMPARE_BOUNDS,
                list(bounds),
                [str(old.snapshot) for old in bounds.values()],
                [old.highest for old in bounds.values()],
                [old.lowest for old in bounds.values()],
                timeout=MAX_STATEMENT_SECONDS,
            )
        present = {
            row["partition"]: Bounds(Snapshot.parse(row["snapshot"]), row["highest"], row["lowest"])
            for row in rows
        }
        return present, {row["partition"] for row in rows if row["has_outside"]}


def require_primary(row: asyncpg.Record) -> None:
    """Raises ReadOnlySQLTransactionError; through a pooler only the statement itself knows its server."""
    if row["read_only"]:
        raise asyncpg.ReadOnlySQLTransactionError(NO_WRITES)
