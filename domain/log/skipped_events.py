"""Records the events that read models leave out. Not a command: nothing happens to the user.

Stored next to the log, because every read model that is ever built from the log must leave them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.users.events import UserCreated, UserErased, UserId

if TYPE_CHECKING:
    import asyncpg

NOT_SKIPPABLE = {UserCreated.__name__, UserErased.__name__}
"""Event types that read models need: without them a user would be missing, or an erased one present."""

_INSERT_SKIPPED = """
    insert into skipped (user_id, version, reason) values ($1, $2, $3) on conflict do nothing
"""


class SkippedEvents:
    """The skipped events of a log. Raises what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(self, user_id: UserId, version: int, reason: str) -> None:
        """Excludes the event from all read models that are built from now on. Cannot be undone."""
        await self._pool.execute(_INSERT_SKIPPED, user_id, version, reason)
