"""The history port: what the read side may ask of the event log. The composition root hands it in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Protocol

from domain.events import Envelope, UserId


class History(Protocol):
    """Whoever implements it raises its own driver's errors."""

    async def history(self, user_id: UserId, after: int) -> list[Envelope]:
        """A user's events above the version `after`, in order of version."""

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

    async def histories(self, users: Collection[UserId]) -> dict[UserId, list[Envelope]]:
        """All events of these users, in order of version; none of those who have none."""

    async def known(self, users: Collection[UserId]) -> set[UserId]:
        """Which of these users have ever had an event."""
