"""The history port: what the read side may ask of the event log. The composition root hands it in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from domain.events import Envelope, UserId


class History(Protocol):
    """Whoever implements it raises its own driver's errors."""

    async def history(self, user_id: UserId, after: int) -> list[Envelope]:
        """A user's events above the version `after`, in order of version."""

    def partition(
        self, partition: int, size: int, after: int = 0
    ) -> AsyncIterator[tuple[int, list[Envelope]]]:
        """All events of a partition behind a position, in pages, each with the position of its last."""

    async def count(self, partition: int) -> int:
        """How many events a partition has."""
