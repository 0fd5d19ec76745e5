"""A least-recently-used cache with a bound on the number of values and one on their total size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """At most `max_values` values with a total size of at most `max_size`."""

    def __init__(self, max_values: int, max_size: int = 0) -> None:
        self._max_values = max_values
        self._max_size = max_size
        self._size = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def get(self, key: K) -> V | None:
        """Returns the value and marks it as the most recently used."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, size: int = 0) -> list[V]:
        """Stores a value in place of any under the key; returns the values that were evicted."""
        _, old_size = self._entries.pop(key, (None, 0))
        self._entries[key] = value, size
        self._size += size - old_size
        evicted = []
        while len(self._entries) > self._max_values or self._size > self._max_size:
            _, (oldest, freed) = self._entries.popitem(last=False)
            self._size -= freed
            evicted.append(oldest)
        return evicted
