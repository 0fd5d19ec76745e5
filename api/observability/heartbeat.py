"""Heartbeats tell a stalled background loop from an idle one and from one that waits for a store.

Some loops have no heartbeat: without `wake-ups` the relay still polls every half second, and if the event
loop of `clock` stalls, this process answers no health check either.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

STALLED_SECONDS: Final = 15.0
"""Seconds without a beat after which a loop is stalled. Every wait inside a pass has a shorter limit."""


class Heartbeat:
    """The liveness of one loop, which beats once per pass and repeatedly within a long pass."""

    __slots__ = ("_beat_at", "_outage", "_outage_since", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._beat_at = self._outage_since = time.monotonic()
        self._outage: str | None = None

    def beat(self) -> None:
        """Records that the loop is making progress."""
        self._beat_at = time.monotonic()

    def set_outage(self, error: str | None) -> None:
        """Records the type of the error because of which the loop retries, or None once a pass succeeds."""
        self.beat()
        if self._outage is None:
            self._outage_since = self._beat_at
        self._outage = error

    @property
    def is_stalled(self) -> bool:
        """True if only a restart of the process helps."""
        return self.silent_seconds > STALLED_SECONDS

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last beat."""
        return time.monotonic() - self._beat_at

    @property
    def problem(self) -> str | None:
        """One sentence about what is wrong with the loop, None if nothing is."""
        if self.is_stalled:
            return (
                f"The loop {self.name} has made no progress for {self.silent_seconds:.0f} seconds:"
                " restart this process."
            )
        if self._outage is not None:
            seconds = f"{time.monotonic() - self._outage_since:.0f} seconds"
            return f"The loop {self.name} has waited for its stores for {seconds} ({self._outage})."
        return None


def most_severe(heartbeats: Iterable[Heartbeat]) -> Heartbeat | None:
    """Returns a stalled loop, else one that waits for its stores, else None."""
    failing = [heartbeat for heartbeat in heartbeats if heartbeat.problem is not None]
    return max(failing, key=lambda heartbeat: heartbeat.is_stalled, default=None)
