"""Streams in memory, with the one promise that the relay rests on: compare, then append."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

import msgspec

from domain.envelope import Envelope
from domain.log.cursor import Cursor
from domain.log.relay import StreamAppend


class MemoryStream:
    """What Redis is to the relay."""

    def __init__(self) -> None:
        self.kept: dict[int, bytes] = {}
        self.entries: dict[int, list[Envelope]] = defaultdict(list)
        self.begun: list[int] = []
        self.sizes: list[int] = []
        """How many entries each append had that was done."""
        self.lost: list[int] = []
        """The partitions of the appends that lost their compare."""
        self.replying: Callable[[], None] = lambda: None
        """What happens between an append and its reply."""

    async def cursors(self, partitions: Sequence[int]) -> list[bytes | None]:
        return [self.kept.get(partition) for partition in partitions]

    async def reset(self, partition: int, expected: bytes | None, cursor: bytes) -> bool:
        if self.kept.get(partition) != expected:
            return False
        self.kept[partition] = cursor
        self.entries[partition].clear()
        self.begun.append(partition)
        return True

    async def append(self, appends: Sequence[StreamAppend]) -> list[bool]:
        done = [self._append(append) for append in appends]
        self.replying()
        return done

    def _append(self, append: StreamAppend) -> bool:
        if self.kept.get(append.partition) != append.expected:
            self.lost.append(append.partition)
            return False
        self.kept[append.partition] = append.cursor
        self.sizes.append(len(append.entries))
        for entry in append.entries:
            self.entries[append.partition].append(msgspec.json.decode(entry, type=Envelope))
        return True

    def alter(self, change: Callable[[Cursor], Cursor]) -> None:
        """Every cursor becomes another."""
        self.kept = {p: change(Cursor.decode(raw)).encode() for p, raw in self.kept.items()}

    @property
    def all(self) -> list[tuple[UUID, int]]:
        """User and version of everything there is, sorted: twice is seen as twice."""
        return sorted(_named(self._flat()))

    def versions(self, user_id: UUID) -> list[int]:
        """The versions of a user, in the order in which they came."""
        return [version for user, version in _named(self._flat()) if user == user_id]

    def _flat(self) -> Iterable[Envelope]:
        return (entry for entries in self.entries.values() for entry in entries)


def _named(entries: Iterable[Envelope]) -> list[tuple[UUID, int]]:
    return [(entry.user_id, entry.version) for entry in entries]
