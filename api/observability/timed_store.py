"""A write store that counts and times commands."""

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
    """A wrapper of the store that counts each command as accepted, by its refusal, or as failed."""

    def __init__(self, store: Store, commands: TimedCounter) -> None:
        self._store = store
        self._commands = commands

    async def execute(
        self, command: Command, *, metadata: Mapping[str, str] | None = None
    ) -> CommandResult | Refusal:
        """Executes a command in the store. Raises WriteModelUnavailable."""
        started_at, outcome = perf_counter(), "failed"
        try:
            result = await self._store.execute(command, metadata=metadata)
            outcome = type(result).__name__ if isinstance(result, Refusal) else "accepted"
        except WriteModelUnavailable:
            outcome = "unavailable"
            raise
        finally:
            self._commands.count(type(command).__name__, outcome, perf_counter() - started_at)
        return result
