"""Which events were given up for the read models. Not a command: nothing happened to the user.

The decision is kept beside the log, because every read model that is ever built from the log has to agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.users.events import UserCreated, UserErased, UserId

if TYPE_CHECKING:
    import asyncpg

NOT_SKIPPABLE = {UserCreated.__name__, UserErased.__name__}
"""Events that cannot be given up: without them nobody is there, or whoever was forgotten still is."""

_SKIP = """
    insert into skipped (user_id, version, reason) values ($1, $2, $3) on conflict do nothing
"""


class SkippedEvents:
    """Raises what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(self, user_id: UserId, version: int, reason: str) -> None:
        """For ever: whatever is built from the log from now on goes without this event."""
        await self._pool.execute(_SKIP, user_id, version, reason)
