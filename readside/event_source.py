"""The history port: what the read side may ask of the event log. The composition root hands it in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Protocol

from domain.envelope import Envelope
from domain.users.events import UserId

PAGE = 250
"""The most events of one user in memory at a time."""


class EventSource(Protocol):
    """Whoever implements it raises its own driver's errors."""

    async def history(
        self, user_id: UserId, after: int, limit: int | None = None
    ) -> list[Envelope]:
        """Returns a user's events above the version `after` in order of version, `limit` of them at most."""

    async def newest(self, user_id: UserId) -> Envelope | None:
        """Returns the last event of a user; None if there is none."""

    def partition(
        self, partition: int, size: int, after: int = 0
    ) -> AsyncIterator[tuple[int, list[Envelope]]]:
        """All events of a partition, in pages; best user by user.

        Each comes with the position to go on from when it is done with. If that is where the page itself
        began, the page would come again.
        """

    async def count(self, partition: int) -> int:
        """How many events a partition has."""

    def users(self, partition: int, size: int) -> AsyncIterator[list[UserId]]:
        """The users of a partition, in pages."""

    def lives(self, users: Collection[UserId], size: int) -> AsyncIterator[list[Envelope]]:
        """Yields all events of these users, user by user in order of version, in pages of `size` at most."""

    async def known(self, users: Collection[UserId]) -> set[UserId]:
        """Which of these users have ever had an event."""


async def behind(
    history: EventSource, user_id: UserId, after: int
) -> AsyncIterator[list[Envelope]]:
    """Yields all events of a user above the version `after`, in pages of PAGE at most."""
    while page := await history.history(user_id, after, PAGE):
        yield page
        after = page[-1].version
