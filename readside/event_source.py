"""The read side's port to the event log. The composition root passes the implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Protocol
from uuid import UUID

from domain.envelope import Envelope

MAX_HISTORY_EVENTS = 250
"""Limit of events of one aggregate in memory at a time."""


class EventSource(Protocol):
    """The event log. An implementation raises the errors of its own driver."""

    async def history(
        self, aggregate_id: UUID, after: int, limit: int | None = None
    ) -> list[Envelope]:
        """Returns at most `limit` events of an aggregate above the version `after`, in order of version."""

    async def newest(self, aggregate_id: UUID) -> Envelope | None:
        """Returns the last event of an aggregate; None if it has none."""

    def events_by_aggregate(
        self, partition: int, size: int, after: int = 0
    ) -> AsyncIterator[tuple[int, list[Envelope]]]:
        """Yields all events of a partition in pages, preferably aggregate by aggregate.

        Each page comes with the position to continue from once it is applied. If that is where the page
        itself began, a continuation reads the page again.
        """

    async def count(self, partition: int) -> int:
        """Returns the number of events of a partition."""

    def aggregates(self, partition: int, size: int) -> AsyncIterator[dict[UUID, str]]:
        """Yields the aggregates of a partition in pages: their ids, each with the aggregate's name."""

    def events_of(self, aggregates: Collection[UUID], size: int) -> AsyncIterator[list[Envelope]]:
        """Yields all events of these aggregates, one by one, in order of version, in pages."""

    async def existing(self, aggregates: Collection[UUID]) -> dict[UUID, str]:
        """Returns those of these ids that have ever had an event, each with the aggregate's name."""


async def history_pages(
    event_source: EventSource, aggregate_id: UUID, after: int
) -> AsyncIterator[list[Envelope]]:
    """Yields all events of an aggregate above the version `after`, in pages of at most MAX_HISTORY_EVENTS."""
    while page := await event_source.history(aggregate_id, after, MAX_HISTORY_EVENTS):
        yield page
        after = page[-1].version
