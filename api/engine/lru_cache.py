"""What is asked for again: so much of it is remembered, and the least recently used is forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """At most `most` values, of a size of `largest` together."""

    def __init__(self, most: int, largest: int = 0) -> None:
        self._most = most
        self._largest = largest
        self._size = 0
        self._known: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: K) -> bool:
        return key in self._known

    def get(self, key: K) -> V | None:
        """The value, which is used now."""
        known = self._known.get(key)
        if known is None:
            return None
        self._known.move_to_end(key)
        return known[0]

    def keep(self, key: K, value: V, size: int = 0) -> list[V]:
        """Remembers one more, in place of any that the key had; tells what was forgotten for it."""
        _, before = self._known.pop(key, (None, 0))
        self._known[key] = value, size
        self._size += size - before
        forgotten = []
        while len(self._known) > self._most or self._size > self._largest:
            _, (oldest, freed) = self._known.popitem(last=False)
            self._size -= freed
            forgotten.append(oldest)
        return forgotten
