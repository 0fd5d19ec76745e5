"""The reverse scan: finds keys and members of no aggregate, or of one that should not have them."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Collection, Iterable
from typing import Any
from uuid import UUID

from readside.verify.compared_generations import ComparedGenerations
from readside.verify.difference import Difference, KeyEntry, aggregate_in

BATCH = 500
"""Keys or members of one scan call."""

Suspect = tuple[UUID, set[KeyEntry]]
"""An aggregate, and entries that contain the aggregate's id and may differ."""


KeyMember = tuple[str, str]
"""The name of a shared key, and a member of it."""


class VerifiedSet:
    """The members of shared keys that are verified already, so that the search for orphans can skip them.

    It has 64-bit hashes only; with a million members, a false match has probability about 10^-13. It is
    sorted at the first lookup after an addition.
    """

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


class Orphans:
    """Scans the active generation.

    Results about aggregates are only suspects: data changes during the scan, so they must be verified again.
    """

    def __init__(self, generations: ComparedGenerations) -> None:
        self._generations = generations
        self._redis = generations.redis
        self._keys = generations.keys
        self.unattributed: list[Difference] = []
        """Keys and members without the id of an aggregate, so far."""

    async def keys(self, usual: set[str]) -> AsyncIterator[Suspect]:
        """Yields the keys that not every aggregate has, and all keys of those without events."""
        batch: dict[UUID, set[KeyEntry]] = {}
        async for name in self._names():
            if (aggregate_id := aggregate_in(name)) is not None:
                batch.setdefault(aggregate_id, set()).add(KeyEntry(name))
            if len(batch) >= BATCH:
                for suspect in await self._unusual(batch, usual):
                    yield suspect
                batch = {}
        for suspect in await self._unusual(batch, usual):
            yield suspect

    async def _unusual(self, batch: dict[UUID, set[KeyEntry]], usual: set[str]) -> list[Suspect]:
        existing = await self._generations.event_source.existing(list(batch))
        suspects = []
        for aggregate_id, entries in batch.items():
            verified = (
                {f"{kind}:{aggregate_id}" for kind in usual} if aggregate_id in existing else set()
            )
            if unusual := {entry for entry in entries if entry.name not in verified}:
                suspects.append((aggregate_id, unusual))
        return suspects

    async def members(self, verified: VerifiedSet, sums: Collection[str]) -> AsyncIterator[Suspect]:
        """Yields the members of shared keys, other than `sums`, that are not verified yet."""
        skipped = {self._keys.counters, self._keys.needs_resync, *map(self._keys.shared_key, sums)}
        async for name in self._names():
            if aggregate_in(name) is None and self._keys.shared_key(name) not in skipped:
                async for suspect in self._members_of(name, verified):
                    yield suspect

    async def _names(self) -> AsyncIterator[str]:
        prefix = self._keys.shared_key("")
        async for key in self._redis.scan_iter(match=f"{prefix}*", count=BATCH):
            yield key.removeprefix(prefix)

    async def _members_of(self, name: str, verified: VerifiedSet) -> AsyncIterator[Suspect]:
        key = self._keys.shared_key(name)
        [kind] = await self._generations.snapshots.run(("TYPE", key))
        if kind not in {"zset", "hash", "set", "none"}:
            self._add(name, "", found="something that names no aggregate")
            return
        async for member in _scan_members(self._generations, name, kind):
            if (name, member) in verified:
                continue
            if (aggregate_id := aggregate_in(member)) is None:
                self._add(name, member, found="something that names no aggregate")
            else:
                parked = key == self._keys.parked
                yield aggregate_id, set() if parked else {KeyEntry(name, member, kind)}

    async def check_sizes(self) -> None:
        """Compares the sizes of shared keys with those that `apply` has counted."""
        [counters] = await self._generations.snapshots.run(("HGETALL", self._keys.counters))
        for field in counters[::2]:
            if field.startswith("size:"):
                await self._check_size(field, field.removeprefix("size:"))

    async def _check_size(self, field: str, key: str) -> None:
        reads = [(verb, key) for verb in ("TYPE", "ZCARD", "HLEN", "SCARD")]
        should, kind, *sizes = await self._generations.snapshots.run(
            ("HGET", self._keys.counters, field), *reads
        )
        size_by_kind: dict[str, Any] = dict(zip(("zset", "hash", "set"), sizes, strict=True))
        found = size_by_kind.get(kind, 0 if kind == "none" else kind)
        if str(found) != should:
            name = key.removeprefix(self._keys.shared_key(""))
            self._add(name, "(members)", should, found)

    def _add(self, name: str, field: str, should: Any = None, found: Any = None) -> None:
        difference = Difference(key=name, field=field, should=should, found=found, shared=True)
        self.unattributed.append(difference)


async def members_of(
    generations: ComparedGenerations, aggregate_id: UUID, names: set[str]
) -> set[KeyEntry]:
    """Returns all members of these shared keys that contain the aggregate's id."""
    entries: set[KeyEntry] = set()
    for name in names:
        [kind] = await generations.snapshots.run(("TYPE", generations.keys.shared_key(name)))
        members = _scan_members(generations, name, kind, f"*{aggregate_id}")
        entries.update([KeyEntry(name, member, kind) async for member in members])
    return entries


async def _scan_members(
    generations: ComparedGenerations, name: str, kind: str, match: str | None = None
) -> AsyncIterator[str]:
    """Yields members of a sorted set or a set, or fields of a hash; nothing for keys of other types."""
    key, redis = generations.keys.shared_key(name), generations.redis
    if kind == "zset":
        async for member, _ in redis.zscan_iter(key, match=match, count=BATCH):
            yield member
    elif kind == "hash":
        async for field, _ in redis.hscan_iter(key, match=match, count=BATCH):
            yield field
    elif kind == "set":
        async for member in redis.sscan_iter(key, match=match, count=BATCH):
            yield member
