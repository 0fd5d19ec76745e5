"""Whether the loops of this process still go round: a frozen one is told from one that has nothing to do.

Some loops need no pulse. `eviction` asks once, and then waits for ever; without `wake-ups` the relay looks by
itself every half second; and where `clock` does not go round, nothing does, and nobody answers here either.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

STALLED_SECONDS: Final = 15.0
"""Seconds without a beat after which a loop is frozen. All that a pass waits for has a shorter limit."""


class Heartbeat:
    """Of one loop, which beats once in each pass, and within a pass that is long."""

    __slots__ = ("_beaten", "_since", "_weather", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._beaten = self._since = time.monotonic()
        self._weather: str | None = None

    def beat(self) -> None:
        self._beaten = time.monotonic()

    def wait_out(self, weather: str | None) -> None:
        """Says what keeps the loop from its work, None when it goes on."""
        self.beat()
        if self._weather is None:
            self._since = self._beaten
        self._weather = weather

    @property
    def is_frozen(self) -> bool:
        return self.silent > STALLED_SECONDS

    @property
    def silent(self) -> float:
        """Seconds since the last beat."""
        return time.monotonic() - self._beaten

    @property
    def wrong(self) -> str | None:
        """What is wrong with the loop, in one sentence."""
        if self.is_frozen:
            silent = f"has not gone round for {self.silent:.0f} seconds"
            return f"The loop {self.name} {silent}: restart this process."
        if self._weather is not None:
            waits = f"has waited for its stores for {time.monotonic() - self._since:.0f} seconds"
            return f"The loop {self.name} {waits} ({self._weather})."
        return None


def worst(pulses: Iterable[Heartbeat]) -> Heartbeat | None:
    """One that is frozen, or else one that waits; None if all go round."""
    wrong = [pulse for pulse in pulses if pulse.wrong is not None]
    return max(wrong, key=lambda pulse: pulse.is_frozen, default=None)
