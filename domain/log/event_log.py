"""Reading the event log: a user's history, a partition's pages, what became visible since a snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from asyncpg import ReadOnlySQLTransactionError

from domain.connection_pool import NO_WRITES, ConnectionPool
from domain.envelope import Envelope
from domain.log.cursor import Mark, Snapshot, Window
from domain.log.erasures import READ
from domain.log.log_comparison import DIGEST, LogState, outside, unequal_windows
from domain.log.log_identity import ForeignLog, LogIdentity, Relation, log_identity, relation
from domain.users.events import UserId

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

ENVELOPE = f"e.user_id, e.version, e.type, e.schema, {READ}, e.metadata, e.occurred_at"
"""What `envelope_in` needs of an event `e`."""

_ENTRY = f"{ENVELOPE}, e.position, e.partition, e.xid"

# Which run of which server numbers the transactions, and which of its databases holds this log. A crash of
# one backend makes the server recover without a new start of its postmaster; its statistics begin anew then.
# And whether it takes writes: every transaction of a standby is read-only.
_ERA = """
    concat_ws(' ', extract(epoch from pg_postmaster_start_time()),
              (select extract(epoch from stats_reset) from pg_stat_bgwriter),
              (select oid from pg_database where datname = current_database())) as era,
    current_setting('transaction_read_only')::bool as read_only
"""

_NOW = f"select pg_current_snapshot()::text as now, {_ERA}"

_STATE = f"""
    select pg_current_snapshot()::text as now, {_ERA},
           coalesce(pg_relation_filenode(to_regclass('events')), 0)::bigint as file
"""

# What was given up for the read models: only those who make users anew ask, the relay need not know.
_WITH_SKIPPED = f"""
    {ENVELOPE},
    exists (select from skipped s where (s.user_id, s.version) = (e.user_id, e.version)) as skipped
"""

_HISTORY = f"""
    select {_WITH_SKIPPED} from events e where user_id = $1 and version > $2 order by version limit $3
"""

_NEWEST = f"""
    select {_WITH_SKIPPED} from events e where user_id = $1 order by version desc limit 1
"""

_KNOWN = "select distinct user_id from events where user_id = any($1::uuid[])"

_USERS = """
    select position, user_id from events
    where partition = $1 and position > $2 and version = 1 order by position limit $3
"""

# Who begins among so many events. That is with version 1, but a log that has lost it must be read as well.
_BEGUN = """
    with looked_at as materialized (
        select position, user_id, version from events
        where partition = $1 and position > $2 order by position limit $3
    )
    select max(position) as position, coalesce(array_agg(user_id) filter (
        where version = 1 or not exists (
            select from events b where b.user_id = e.user_id and b.version < e.version)), '{}') as users
    from looked_at e having count(*) > 0
"""

_LIVES = f"""
    select {_WITH_SKIPPED} from events e
    where user_id = any($1::uuid[]) and (user_id, version) > ($2, $3)
    order by user_id, version limit $4
"""

# The statement's own snapshot is what `now` says, so whatever it sees is visible in `now`, but for events of
# a restored dump: their numbers may not have been reached yet, or may be those of transactions that run now.
# Such events are left for a later window. Every branch is an index range of `events_window` that starts at
# the snapshot: its cost does not depend on the log's length.
_SINCE = f"""
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
    select pg_current_snapshot()::text as now, {_ERA}, {_ENTRY}
    from (select) as always left join fresh e on true order by e.position
"""

# A long window is read in pages of the primary key, from its lowest position on.
_PAGE = f"""
    select {_ENTRY} from events e
    where partition = $1 and position > $2 and (xid >= $3 or xid = any($4::xid8[]))
      and pg_visible_in_snapshot(xid, $5::text::pg_snapshot)
    order by position limit $6
"""

# Materialized, or a generic plan would walk the primary key from the beginning of the log.
_FLOOR = """
    with fresh as materialized (
        (select position from events where partition = $1 and xid >= $2 and xid < $4)
        union all
        (select position from events where partition = $1 and xid = any($3::xid8[]))
    )
    select coalesce(min(position), 0) - 1 from fresh
"""

_ALL = f"""
    select coalesce(max(position), 0) as position, coalesce(max(xid::text::bigint), 0) as top, {DIGEST},
           (select coalesce(max(position), 0) from events where partition = $1) as highest,
           (select coalesce(min(position), 0) from events where partition = $1) as lowest
    from events where partition = $1 and pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_all_texts = msgspec.json.Decoder(dict[str, str]).decode


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the log."""

    position: int
    partition: int
    xid: int
    envelope: Envelope

    @property
    def mark(self) -> int:
        """A number that another event in its place would hardly have; DIGEST has the same in SQL."""
        envelope = self.envelope
        microseconds = (envelope.occurred_at - _EPOCH) // timedelta(microseconds=1)
        return (envelope.user_id.int & 0xFFFFFFFF) + envelope.version + (microseconds & 0xFFFFFFFF)


class VisibleEntries(msgspec.Struct, frozen=True, kw_only=True):
    """What became visible since a snapshot, in order of position."""

    now: Snapshot
    era: str
    entries: list[Entry]


_PATIENCE = 3600.0
"""Seconds for a statement whose work grows with the log or with a backlog; others may have to wait for it."""


class EventLog:
    """Read access to the log. Raises what asyncpg raises, and TimeoutError if no connection comes free."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._connections = ConnectionPool(pool, timeout_seconds=_PATIENCE)

    async def history(
        self, user_id: UserId, after: int, limit: int | None = None
    ) -> list[Envelope]:
        """Returns a user's events above the version `after` in order of version, `limit` of them at most."""
        rows = await self._connections.fetch(_HISTORY, user_id, after, limit)
        return [envelope_in(row) for row in rows]

    async def newest(self, user_id: UserId) -> Envelope | None:
        """Returns the last event of a user; None if there is none."""
        rows = await self._connections.fetch(_NEWEST, user_id)
        return envelope_in(rows[0]) if rows else None

    async def partition(
        self, partition: int, size: int, after: int = 0
    ) -> AsyncIterator[tuple[int, list[Envelope]]]:
        """All events of a partition, user by user, in pages of `size` at most.

        Each comes with the position up to which whoever began there is complete. Each has a snapshot of its
        own, so an event that commits behind the page is not seen: whoever needs it as well reads the stream
        from before the first page on.
        """
        # If they all begin at once, their later events will fill more pages.
        many = max(1, size // 2)
        while begun := await self._connections.fetch(_BEGUN, partition, after, many):
            async for rows in self._lives(begun[0]["users"], size):
                if len(rows) < size:
                    after = begun[0]["position"]
                yield after, [envelope_in(row) for row in rows]

    async def _lives(self, users: list[UUID], size: int) -> AsyncIterator[list[asyncpg.Record]]:
        """All that happened to these users, in pages, the last of which is not full."""
        reached: tuple[UUID, int] = UUID(int=0), 0
        while True:
            rows = await self._connections.fetch(_LIVES, users, *reached, size)
            yield rows
            if len(rows) < size:
                return
            reached = rows[-1]["user_id"], rows[-1]["version"]

    async def users(self, partition: int, size: int) -> AsyncIterator[list[UserId]]:
        """The users of a partition in pages of `size`, in order of their creation."""
        position = 0
        while rows := await self._connections.fetch(_USERS, partition, position, size):
            position = rows[-1]["position"]
            yield [row["user_id"] for row in rows]
            if len(rows) < size:
                return

    async def lives(self, users: Collection[UserId], size: int) -> AsyncIterator[list[Envelope]]:
        """Yields all events of these users, user by user in order of version, in pages of `size` at most."""
        async for rows in self._lives(list(users), size):
            yield [envelope_in(row) for row in rows]

    async def known(self, users: Collection[UserId]) -> set[UserId]:
        """Which of these users have ever had an event."""
        rows = await self._connections.fetch(_KNOWN, list(users))
        return {row["user_id"] for row in rows}

    async def count(self, partition: int) -> int:
        """How many events a partition has."""
        row = await self._patiently("select count(*) from events where partition = $1", partition)
        return int(row[0])

    async def _patiently(self, statement: str, *arguments: object) -> asyncpg.Record:
        """The one row of a statement that may take long: at a first start, a restart, a backlog."""
        async with self._patient() as connection:
            row = await connection.fetchrow(statement, *arguments, timeout=_PATIENCE)
        assert row is not None
        return row

    @asynccontextmanager
    async def _patient(self) -> AsyncIterator[PoolConnectionProxy]:
        """A connection on which statements may take long."""
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            await connection.execute("set local statement_timeout = 0")
            yield connection
            await self._connections.require_writable(connection)

    async def now(self) -> tuple[Snapshot, str]:
        """The present snapshot, and the era of the server that numbers its transactions."""
        [row] = await self._connections.fetch(_NOW)
        _require_primary(row)
        return Snapshot.parse(row["now"]), row["era"]

    async def state(self) -> LogState:
        """Returns the identity of the log, its file, and the server's era and present snapshot."""
        async with self._pool.acquire() as connection:
            identity = await log_identity(connection)
            row = await connection.fetchrow(_STATE)
        assert row is not None
        _require_primary(row)
        now = Snapshot.parse(row["now"])
        return LogState(now=now, era=row["era"], identity=identity, file=row["file"])

    async def relation(self, carried: LogIdentity | None, ours: LogIdentity) -> Relation:
        """Compares the identity in a cursor with that of the log."""
        async with self._pool.acquire() as connection:
            return await relation(connection, carried, ours)

    async def refuse_foreign(self, carried: Collection[LogIdentity | None]) -> None:
        """Raises ForeignLog if one of these identities is of a log that is, or may be, still elsewhere."""
        async with self._pool.acquire() as connection:
            ours = await log_identity(connection)
            for one in carried:
                if one and await relation(connection, one, ours) is Relation.FOREIGN:
                    raise ForeignLog(one, ours)

    async def unequal(self, windows: Sequence[tuple[int, Window]]) -> set[int]:
        """Returns the partitions of those windows whose events the log does not hold any more."""
        if not windows:
            return set()
        async with self._patient() as connection:
            return await unequal_windows(connection, windows, patience=_PATIENCE)

    async def outside(self, marks: Mapping[int, Mark]) -> tuple[dict[int, Mark], set[int]]:
        """Returns new marks, and the partitions that hold events which no window will ever show."""
        async with self._patient() as connection:
            return await outside(connection, marks, patience=_PATIENCE)

    async def all_until(self, partition: int, until: Snapshot) -> tuple[Window, Mark]:
        """Everything a partition has, as a window, and the mark of its highest and its lowest position."""
        row = dict(await self._patiently(_ALL, partition, str(until)))
        mark = Mark(until, row.pop("highest"), row.pop("lowest"))
        return Window(since=Snapshot(1), until=until, **row), mark

    async def since(
        self, snapshot: Snapshot, partitions: Collection[int], limit: int
    ) -> VisibleEntries:
        """What became visible since `snapshot`; `limit` entries of a partition or more mean: read pages."""
        rows = await self._connections.fetch(
            _SINCE, list(partitions), snapshot.xmax, list(snapshot.running), limit
        )
        _require_primary(rows[0])
        entries = [_entry_in(row) for row in rows if row["position"] is not None]
        return VisibleEntries(
            now=Snapshot.parse(rows[0]["now"]), era=rows[0]["era"], entries=entries
        )

    async def page(self, partition: int, window: Window, limit: int) -> list[Entry]:
        """The next entries of a window, behind its position."""
        rows = await self._connections.fetch(
            _PAGE,
            partition,
            window.position,
            window.since.xmax,
            list(window.since.running),
            str(window.until),
            limit,
        )
        return [_entry_in(row) for row in rows]

    async def floor(self, partition: int, window: Window) -> int:
        """A position below which nothing became visible in a window."""
        since = window.since
        row = await self._patiently(
            _FLOOR, partition, since.xmax, list(since.running), window.until.xmax
        )
        return max(0, int(row[0]))


def _require_primary(row: asyncpg.Record) -> None:
    """Raises ReadOnlySQLTransactionError: behind a pooler the statement alone knows its server."""
    if row["read_only"]:
        raise ReadOnlySQLTransactionError(NO_WRITES)


def _texts(metadata: str) -> dict[str, str]:
    """What is text in this JSON. Metadata helps to follow an event, and must not stop one."""
    try:
        return _all_texts(metadata)
    except msgspec.ValidationError:
        found = msgspec.json.decode(metadata)
        known = found.items() if isinstance(found, dict) else ()
        return {key: value for key, value in known if isinstance(value, str)}


def _entry_in(row: asyncpg.Record) -> Entry:
    return Entry(
        position=row["position"],
        partition=row["partition"],
        xid=row["xid"],
        envelope=envelope_in(row),
    )


def envelope_in(row: asyncpg.Record) -> Envelope:
    """A row of `events`, of which every column of an envelope is there."""
    return Envelope(
        user_id=row["user_id"],
        version=row["version"],
        type=row["type"],
        schema=row["schema"],
        data=msgspec.Raw(row["data"].encode()),
        occurred_at=row["occurred_at"],
        metadata=_texts(row["metadata"]),
        skipped=row.get("skipped", False),
    )
