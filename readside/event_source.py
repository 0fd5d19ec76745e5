"""The read side's port to the event log. The composition root passes the implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Protocol
from uuid import UUID

from domain.envelope import Envelope

MAX_HISTORY_EVENTS = 250
"""Limit of events of one user in memory at a time."""


class EventSource(Protocol):
    """The event log. An implementation raises the errors of its own driver."""

    async def history(self, user_id: UUID, after: int, limit: int | None = None) -> list[Envelope]:
        """Returns at most `limit` events of a user above the version `after`, in order of version."""

    async def newest(self, user_id: UUID) -> Envelope | None:
        """Returns the last event of a user; None if it has none."""

    def events_by_aggregate(
        self, partition: int, size: int, after: int = 0
    ) -> AsyncIterator[tuple[int, list[Envelope]]]:
        """Yields all events of a partition in pages, preferably user by user.

        Each page comes with the position to continue from once it is applied. If that is where the page
        itself began, a continuation reads the page again.
        """

    async def count(self, partition: int) -> int:
        """Returns the number of events of a partition."""

    def aggregates(self, partition: int, size: int) -> AsyncIterator[list[UUID]]:
        """Yields the users of a partition in pages."""

    def events_of(self, users: Collection[UUID], size: int) -> AsyncIterator[list[Envelope]]:
        """Yields all events of these users, user by user in order of version, in pages of at most `size`."""

    async def existing(self, users: Collection[UUID]) -> set[UUID]:
        """Returns those of these users who have ever had an event."""


async def history_pages(
    event_source: EventSource, user_id: UUID, after: int
) -> AsyncIterator[list[Envelope]]:
    """Yields all events of a user above the version `after`, in pages of at most MAX_HISTORY_EVENTS."""
    while page := await event_source.history(user_id, after, MAX_HISTORY_EVENTS):
        yield page
        after = page[-1].version
