"""Places that were found as they should be, so that they need not be looked at from the other side.

Eight bytes each: only a hash is kept. That of a wrong place is among a million others once in 10^13 times.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

Place = tuple[str, str]
"""The name of a shared key, and a member of it."""


class VerifiedSet:
    """First everything is added, then asked for."""

    def __init__(self) -> None:
        self._marks = array("q")
        self._sorted = True

    def add(self, places: Iterable[Place]) -> None:
        self._marks.extend(map(hash, places))
        self._sorted = False

    def __contains__(self, place: Place) -> bool:
        if not self._sorted:
            self._marks = array("q", sorted(self._marks))
            self._sorted = True
        mark = hash(place)
        at = bisect_left(self._marks, mark)
        return at < len(self._marks) and self._marks[at] == mark
