"""Reads the event log for the read side: a user's history, and all events of a partition, user by user."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import TYPE_CHECKING
from uuid import UUID

from domain.connection_pool import ConnectionPool
from domain.envelope import Envelope
from domain.log.envelope_rows import ENVELOPE, envelope_from_row
from domain.log.long_statements import MAX_STATEMENT_SECONDS, fetch_long
from domain.users.events import UserId

if TYPE_CHECKING:
    import asyncpg

# Read models leave skipped events out when they rebuild users; the relay does not need to know.
_WITH_SKIPPED = f"""
    {ENVELOPE},
    exists (select from skipped s where (s.user_id, s.version) = (e.user_id, e.version)) as skipped
"""

_EVENTS_OF_USER = f"""
    select {_WITH_SKIPPED} from events e where user_id = $1 and version > $2 order by version limit $3
"""

_NEWEST_EVENT_OF_USER = f"""
    select {_WITH_SKIPPED} from events e where user_id = $1 order by version desc limit 1
"""

_EVENTS_OF_USERS = f"""
    select {_WITH_SKIPPED} from events e
    where user_id = any($1::uuid[]) and (user_id, version) > ($2, $3)
    order by user_id, version limit $4
"""

_USERS_WITH_EVENTS = "select distinct user_id from events where user_id = any($1::uuid[])"

_USERS_OF_PARTITION = """
    select position, user_id from events
    where partition = $1 and position > $2 and version = 1 order by position limit $3
"""

# Users whose first event is in this page. That is version 1, or the lowest one of a log that has lost it.
_USERS_STARTED_IN_PAGE = """
    with page as materialized (
        select position, user_id, version from events
        where partition = $1 and position > $2 order by position limit $3
    )
    select max(position) as position, coalesce(array_agg(user_id) filter (
        where version = 1 or not exists (
            select from events b where b.user_id = e.user_id and b.version < e.version)), '{}') as users
    from page e having count(*) > 0
"""


class EventLog:
    """Read access to the log. Raises what asyncpg raises, and TimeoutError if no connection comes free."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._connections = ConnectionPool(pool, timeout_seconds=MAX_STATEMENT_SECONDS)

    async def history(
        self, user_id: UserId, after: int, limit: int | None = None
    ) -> list[Envelope]:
        """Returns at most `limit` events of a user above the version `after`, in order of version."""
        rows = await self._connections.fetch(_EVENTS_OF_USER, user_id, after, limit)
        return [envelope_from_row(row) for row in rows]

    async def newest(self, user_id: UserId) -> Envelope | None:
        """Returns the last event of a user; None if the user has no event."""
        rows = await self._connections.fetch(_NEWEST_EVENT_OF_USER, user_id)
        return envelope_from_row(rows[0]) if rows else None

    async def existing_users(self, users: Collection[UserId]) -> set[UserId]:
        """Returns which of these users have an event."""
        rows = await self._connections.fetch(_USERS_WITH_EVENTS, list(users))
        return {row["user_id"] for row in rows}

    async def count(self, partition: int) -> int:
        """Returns the number of events of a partition."""
        statement = "select count(*) from events where partition = $1"
        return int((await fetch_long(self._pool, statement, partition))[0])

    async def count_users(self, partitions: Collection[int]) -> int:
        """Returns the number of users in these partitions."""
        statement = (
            "select count(*) from events where partition = any($1::smallint[]) and version = 1"
        )
        return int((await fetch_long(self._pool, statement, list(partitions)))[0])

    async def users(self, partition: int, size: int) -> AsyncIterator[list[UserId]]:
        """Yields the users of a partition in pages of `size`, in order of their creation."""
        position = 0
        while rows := await self._connections.fetch(_USERS_OF_PARTITION, partition, position, size):
            position = rows[-1]["position"]
            yield [row["user_id"] for row in rows]
            if len(rows) < size:
                return

    async def events_of(
        self, users: Collection[UserId], size: int
    ) -> AsyncIterator[list[Envelope]]:
        """Yields all events of these users, user by user in order of version, in pages of `size` at most.

        The last page is not full.
        """
        last: tuple[UUID, int] = UUID(int=0), 0
        while True:
            rows = await self._connections.fetch(_EVENTS_OF_USERS, list(users), *last, size)
            yield [envelope_from_row(row) for row in rows]
            if len(rows) < size:
                return
            last = rows[-1]["user_id"], rows[-1]["version"]

    async def events_by_user(
        self, partition: int, size: int, after: int = 0
    ) -> AsyncIterator[tuple[int, list[Envelope]]]:
        """Yields all events of a partition, user by user, in pages of `size` at most.

        Each page comes with a position: every user that started at or below it is complete. Pages have
        separate snapshots, so later commits may be missing; read the stream from before the first page on.
        """
        # Half a page: if all of these events start users, the users' later events fill more pages.
        half = max(1, size // 2)
        while started := await self._connections.fetch(
            _USERS_STARTED_IN_PAGE, partition, after, half
        ):
            async for page in self.events_of(started[0]["users"], size):
                if len(page) < size:
                    after = started[0]["position"]
                yield after, page
