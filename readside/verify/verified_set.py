"""The set of members of shared keys already verified, so that the search for orphans can skip them.

It stores only 64-bit hashes; with a million members, a false match has probability about 10^-13.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

KeyMember = tuple[str, str]
"""The name of a shared key, and a member of it."""


class VerifiedSet:
    """A set that is sorted at the first lookup after an addition."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self._is_sorted = True

    def add(self, members: Iterable[KeyMember]) -> None:
        self._hashes.extend(map(hash, members))
        self._is_sorted = False

    def __contains__(self, member: KeyMember) -> bool:
        if not self._is_sorted:
            self._hashes = array("q", sorted(self._hashes))
            self._is_sorted = True
        wanted = hash(member)
        index = bisect_left(self._hashes, wanted)
        return index < len(self._hashes) and self._hashes[index] == wanted
