"""The door for writing, with a counter and a stopwatch at it."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING

from domain.refusal import Refusal
from domain.write.database import WriteModelUnavailable

if TYPE_CHECKING:
    from api.observability.metrics import TimedCounter
    from domain.command import Command, CommandResult
    from domain.write.store import Store


class TimedStore:
    """Carries out commands as the store does, and counts each: accepted, by its refusal, or failed."""

    def __init__(self, store: Store, commands: TimedCounter) -> None:
        self._store = store
        self._commands = commands

    async def execute(
        self, command: Command, *, metadata: Mapping[str, str] | None = None
    ) -> CommandResult | Refusal:
        """Raises WriteModelUnavailable."""
        began, outcome = perf_counter(), "failed"
        try:
            answer = await self._store.execute(command, metadata=metadata)
            outcome = type(answer).__name__ if isinstance(answer, Refusal) else "accepted"
        except WriteModelUnavailable:
            outcome = "unavailable"
            raise
        finally:
            self._commands.count(type(command).__name__, outcome, perf_counter() - began)
        return answer
