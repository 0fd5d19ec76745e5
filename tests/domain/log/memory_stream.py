"""Streams in memory with compare-and-append, which is all that the relay relies on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

import msgspec

from domain.envelope import Envelope
from domain.log.cursor import Cursor
from domain.log.relay import StreamAppend


class MemoryStream:
    """The streams of all partitions, in place of Redis."""

    def __init__(self) -> None:
        self.encoded_cursors: dict[int, bytes] = {}
        self.entries: dict[int, list[Envelope]] = defaultdict(list)
        self.resets: list[int] = []
        self.sizes: list[int] = []
        """The number of entries of each append that was done."""
        self.lost_races: list[int] = []
        """The partitions of the appends that did not find the expected cursor."""
        self.replying: Callable[[], None] = lambda: None
        """Called between an append and its reply."""

    async def cursors(self, partitions: Sequence[int]) -> list[bytes | None]:
        return [self.encoded_cursors.get(partition) for partition in partitions]

    async def reset(self, partition: int, expected: bytes | None, cursor: bytes) -> bool:
        if self.encoded_cursors.get(partition) != expected:
            return False
        self.encoded_cursors[partition] = cursor
        self.entries[partition].clear()
        self.resets.append(partition)
        return True

    async def append(self, appends: Sequence[StreamAppend]) -> list[bool]:
        done = [self._append(append) for append in appends]
        self.replying()
        return done

    def _append(self, append: StreamAppend) -> bool:
        if self.encoded_cursors.get(append.partition) != append.expected:
            self.lost_races.append(append.partition)
            return False
        self.encoded_cursors[append.partition] = append.cursor
        self.sizes.append(len(append.entries))
        for entry in append.entries:
            self.entries[append.partition].append(msgspec.json.decode(entry, type=Envelope))
        return True

    def alter(self, change: Callable[[Cursor], Cursor]) -> None:
        """Changes every cursor."""
        self.encoded_cursors = {
            p: change(Cursor.decode(raw)).encode() for p, raw in self.encoded_cursors.items()
        }

    @property
    def all(self) -> list[tuple[UUID, int]]:
        """User and version of all entries, sorted, with duplicates."""
        return sorted(_user_versions(self._flat()))

    def versions(self, user_id: UUID) -> list[int]:
        """The versions of a user in the order of the entries."""
        return [version for user, version in _user_versions(self._flat()) if user == user_id]

    def _flat(self) -> Iterable[Envelope]:
        return (entry for entries in self.entries.values() for entry in entries)


def _user_versions(entries: Iterable[Envelope]) -> list[tuple[UUID, int]]:
    return [(entry.aggregate_id, entry.version) for entry in entries]
