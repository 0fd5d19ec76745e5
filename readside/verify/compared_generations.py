"""The two sides of a comparison: the active generation of a partition, and scratch generations."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

from redis.asyncio import Redis

from domain.envelope import Envelope
from readside.applier import commands_for
from readside.event_source import EventSource
from readside.projection import Projections
from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import Keys
from readside.verify.difference import KeyEntry
from readside.verify.scratch_generation import ScratchGeneration
from readside.verify.snapshot import SnapshotReader

MAX_SLICE_MEMBERS = 250
"""Members of a key that one call compares, or a few more."""

_MAX_PAIRS = 40
"""Pairs of keys that one call compares."""


class ComparedGenerations:
    """What every step of a comparison needs."""

    def __init__(
        self,
        redis: Redis,
        event_source: EventSource,
        keys: Keys,
        projections: Projections,
        fingerprint: str,
    ) -> None:
        """`keys` are those of the active generation; `redis` decodes replies."""
        self.redis = redis
        self.event_source = event_source
        self.keys = keys
        self.functions = Functions(redis, keys.partition.namespace)
        self.snapshots = SnapshotReader(self.functions, keys, fingerprint)
        self._projections = projections

    def new_scratch(self) -> ScratchGeneration:
        """Returns an empty scratch generation."""
        return ScratchGeneration(
            self.redis, self.event_source, self.keys.partition, self._projections
        )

    def unindexed(self, last: Envelope) -> list[str]:
        """Returns the sorted sets of the active generation whose entries this event takes out of indexes."""
        try:
            commands = commands_for(self.keys, last, self._projections)
        except Exception:  # the event parks its aggregate
            return []
        return [command[2] for command in commands if command[0] == "UNINDEX"]

    def comparison(self, scratch: ScratchGeneration) -> KeyComparison:
        """Returns the comparison of a scratch generation with the active one."""
        return KeyComparison(self.functions, self.keys, scratch)


class _Slice(NamedTuple):
    """The rest of a key of one generation, from a cursor on, to be compared with the other generation."""

    name: str
    reverse: bool
    """Whether members of the active generation are looked up in the scratch generation."""
    cursor: str = "0"


class KeyComparison:
    """Compares a scratch generation with the active one inside Redis, a slice of a key at a time."""

    def __init__(self, functions: Functions, active: Keys, scratch: ScratchGeneration) -> None:
        self._functions = functions
        self._active = active
        self._scratch = scratch

    async def owned_keys(self, names: Iterable[str]) -> set[KeyEntry]:
        """Returns the differing entries of these keys, compared in both directions."""
        differing: set[KeyEntry] = set()
        slices = [_Slice(name, reverse) for name in names for reverse in (False, True)]
        async for part, (_, kind, other_kind, members, _) in self._compare(slices, alike=False):
            if kind not in {"none", other_kind} and (part.reverse or other_kind != "none"):
                differing.add(KeyEntry(part.name))
            else:
                differing.update(KeyEntry(part.name, member, kind) for member in members)
        return differing

    async def shared_keys(self, names: Iterable[str]) -> tuple[set[KeyEntry], set[tuple[str, str]]]:
        """Returns the members of the scratch generation that differ in the active one, and the others."""
        differing: set[KeyEntry] = set()
        verified: set[tuple[str, str]] = set()
        slices = [_Slice(name, reverse=False) for name in names]
        async for part, (_, kind, _, members, alike) in self._compare(slices, alike=True):
            differing.update(KeyEntry(part.name, member, kind) for member in members)
            verified.update((part.name, member) for member in alike)
        return differing, verified

    async def _compare(
        self, slices: Iterable[_Slice], *, alike: bool
    ) -> AsyncIterator[tuple[_Slice, list[Any]]]:
        """Yields each slice with the reply of `compare_keys` in inspection.lua."""
        pending = deque(slices)
        while pending:
            batch = [pending.popleft() for _ in range(min(_MAX_PAIRS, len(pending)))]
            keys = [key for part in batch for key in self._pair(part)]
            await self._scratch.keep_alive()
            cursors = [part.cursor for part in batch]
            wanted = "alike" if alike else ""
            replies = await self._functions.call(
                "compare_keys", keys, MAX_SLICE_MEMBERS, wanted, *cursors
            )
            for part, reply in zip(batch, replies, strict=True):
                yield part, reply
                if reply[0] != "0":
                    pending.append(part._replace(cursor=reply[0]))

    def _pair(self, part: _Slice) -> list[str]:
        pair = [self._scratch.keys.shared_key(part.name), self._active.shared_key(part.name)]
        return pair[::-1] if part.reverse else pair
