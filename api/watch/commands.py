"""The door for writing, with a counter and a stopwatch at it."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING

from domain.refusals import Refusal
from domain.store import WriteModelUnavailable

if TYPE_CHECKING:
    from api.watch.metrics import Timed
    from domain.command import Answer, Command
    from domain.store import Store


class TimedStore:
    """Carries out commands as the store does, and counts each: accepted, by its refusal, or failed."""

    def __init__(self, store: Store, commands: Timed) -> None:
        self._store = store
        self._commands = commands

    async def execute(
        self, command: Command, *, metadata: Mapping[str, str] | None = None
    ) -> Answer | Refusal:
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
