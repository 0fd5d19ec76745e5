"""The second pass of `tandem verify`: verifies one aggregate exactly, at whatever version each read returns.

Values of the active generation are read atomically with the aggregate's version, and a scratch generation is
then brought to that version: so it does not matter what happens in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

import msgspec

from domain.envelope import Envelope
from readside.admin.parked_aggregates import ParkedAggregate
from readside.event_source import history_pages
from readside.verify.compared_generations import ComparedGenerations
from readside.verify.difference import Difference, KeyEntry
from readside.verify.orphans import members_of
from readside.verify.snapshot import AggregateSnapshot, read_entries

_MAX_READ_ENTRIES = 250
"""Entries of one atomic read."""


class AggregateVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one aggregate."""

    differences: list[Difference] = []
    parked: ParkedAggregate | None = None
    in_flight: bool = False
    """Whether the differences may be replication lag."""
    required_version: int = 0
    """The version that the aggregate must reach."""
    has_advanced: bool = False
    """Whether the aggregate has a higher version than in any earlier verdict, or its erasure fewer entries to
    take out of indexes than in the last one."""


class AggregateVerification:
    """Verifies one aggregate. Raises what the drivers raise, GenerationChanged and GenerationGone."""

    def __init__(
        self, generations: ComparedGenerations, aggregate_id: UUID, entries: Iterable[KeyEntry] = ()
    ) -> None:
        """`entries`: suspects that contain the aggregate's id."""
        self._generations = generations
        self._aggregate_id = aggregate_id
        self._entries = set(entries)
        self.sums: dict[str, str] = {}
        """The grouped sums to which the aggregate contributes, as in ScratchGeneration."""
        self._name = ""
        """The name of the aggregate; '' if the log does not have it."""
        self._version = 0
        """The highest version that it had."""
        self._unindexed = 0
        """How many entries its erasure had still to take out of indexes."""
        self._was_resynced = False
        """Whether its keys were incomplete at some moment of the comparison."""

    async def verdict(
        self, required_version: int = 0, *, members: bool = False, wait: bool = False
    ) -> AggregateVerdict:
        """Compares the aggregate's keys, its members of shared keys, and the suspects.

        `required_version` is the version it must reach, 0 for the present one of the log; with `members`,
        shared keys are searched for members that should not exist. With `wait` an aggregate that has not
        reached it, or is resynced, is not compared.
        """
        newest = await self._newest()
        required_version = required_version or (newest.version if newest is not None else 0)
        snapshot = await self._snapshot(())
        remaining = await self._remaining(newest, snapshot)
        has_advanced = snapshot.version > self._version or remaining < self._unindexed
        self._unindexed = remaining
        self._version = max(self._version, snapshot.version)
        self._was_resynced = snapshot.needs_resync
        is_behind = snapshot.version < required_version and snapshot.parked is None
        is_skipped = wait and (is_behind or snapshot.needs_resync)
        differences: list[Difference] = []
        # Without a version, none of its events has arrived yet, or a resync has just started.
        if (snapshot.version or not required_version) and not is_skipped:
            async with ScratchAggregate(self._generations, self._aggregate_id) as scratch:
                differences = await self._differences(scratch, snapshot, members=members)
        if is_behind:
            differences.insert(0, self._version_difference(required_version, snapshot))
        if snapshot.needs_resync:
            differences.append(self._difference("lost", "", None, "needs a resync"))
        number = self._generations.keys.partition.number
        return AggregateVerdict(
            differences=differences,
            parked=None
            if snapshot.parked is None
            else ParkedAggregate(
                partition=number, aggregate_id=str(self._aggregate_id), **snapshot.parked
            ),
            in_flight=is_behind or self._was_resynced,
            required_version=required_version,
            has_advanced=has_advanced,
        )

    async def _remaining(self, newest: Envelope | None, snapshot: AggregateSnapshot) -> int:
        """Returns how many entries an unfinished erasure has still to take out of indexes.

        Until none is left the version does not change.
        """
        if newest is None or not newest.is_final or not snapshot.needs_resync:
            return 0
        sets = self._generations.unindexed(newest)
        sizes = await self._generations.snapshots.run(*(("ZCARD", key) for key in sets))
        return sum(size for size in sizes if isinstance(size, int))

    async def _differences(
        self, scratch: ScratchAggregate, snapshot: AggregateSnapshot, *, members: bool
    ) -> list[Difference]:
        version = await scratch.build(snapshot.version)
        self.sums = scratch.scratch.sums
        entries = self._entries | await scratch.suspects()
        if members:
            entries |= await members_of(
                self._generations, self._aggregate_id, scratch.scratch.shared_keys
            )
        differences = await self._confirmed(scratch, sorted(entries))
        newest = await self._newest()
        if newest and newest.is_final and newest.version > snapshot.version:
            return []  # the erasure has blanked events in the log whose data the keys may still have
        if version < snapshot.version:
            is_ahead = newest is None or newest.version < snapshot.version
            difference = self._version_difference(version, snapshot, shared=is_ahead)
            differences.insert(0, difference)
        return differences

    async def _confirmed(
        self, scratch: ScratchAggregate, entries: list[KeyEntry]
    ) -> list[Difference]:
        """Returns the entries that differ at the version that the aggregate has when they are read."""
        differences: list[Difference] = []
        for start in range(0, len(entries), _MAX_READ_ENTRIES):
            chunk = entries[start : start + _MAX_READ_ENTRIES]
            snapshot = await self._snapshot(chunk)
            self._was_resynced |= snapshot.needs_resync
            if not snapshot.version and self._name:
                break  # a resync has started
            await scratch.build(snapshot.version)
            expected = await scratch.read(chunk)
            for entry, should, found in zip(chunk, expected, snapshot.values, strict=True):
                if should != found:
                    name = entry.name.removesuffix(f":{self._aggregate_id}")
                    shared = entry.name not in scratch.own_keys
                    differences.append(
                        self._difference(name, entry.member, should, found, shared=shared)
                    )
        return differences

    async def _newest(self) -> Envelope | None:
        newest = await self._generations.event_source.newest(self._aggregate_id)
        self._name = newest.aggregate if newest is not None else ""
        return newest

    async def _snapshot(self, entries: Collection[KeyEntry]) -> AggregateSnapshot:
        names = {self._aggregate_id: self._name}
        snapshots = await self._generations.snapshots.aggregates(names, entries)
        return snapshots[self._aggregate_id]

    def _version_difference(
        self, should: int, snapshot: AggregateSnapshot, *, shared: bool = False
    ) -> Difference:
        return self._difference("version", "", should, snapshot.version, shared=shared)

    def _difference(
        self, key: str, field: str, should: Any, found: Any, *, shared: bool = False
    ) -> Difference:
        return Difference(
            key=key,
            aggregate_id=str(self._aggregate_id),
            field=field,
            should=should,
            found=found,
            shared=shared,
        )


class ScratchAggregate:
    """A scratch generation of one aggregate, in any version; leaving `async with` removes it.

    Raises what the drivers raise, and GenerationGone.
    """

    def __init__(self, generations: ComparedGenerations, aggregate_id: UUID) -> None:
        self._generations = generations
        self._aggregate_id = aggregate_id
        self.scratch = generations.new_scratch()
        self._version = 0
        self.own_keys: set[str] = set()
        """The names of the keys that only the aggregate's events write."""

    async def __aenter__(self) -> ScratchAggregate:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.scratch.drop()

    async def build(self, version: int) -> int:
        """Brings the aggregate to that version; returns the version reached: lower if the log ends before."""
        if version < self._version:
            await self.scratch.drop()
            self.scratch, self._version = self._generations.new_scratch(), 0
        await self.scratch.keep_alive()
        async for page in history_pages(
            self._generations.event_source, self._aggregate_id, self._version
        ):
            wanted = [envelope for envelope in page if envelope.version <= version]
            await self.scratch.add(wanted)
            if len(wanted) < len(page):
                break
        self._version = version
        self.own_keys |= self.scratch.owned_keys.get(str(self._aggregate_id), set())
        return self.scratch.versions.get(self._aggregate_id, 0)

    async def suspects(self) -> set[KeyEntry]:
        """Returns the entries that differ in the active generation, unless it has changed meanwhile."""
        comparison = self._generations.comparison(self.scratch)
        differing, _ = await comparison.shared_keys(self.scratch.shared_keys)
        own_keys = self.scratch.owned_keys.get(str(self._aggregate_id), ())
        return differing | await comparison.owned_keys(own_keys)

    async def read(self, entries: list[KeyEntry]) -> list[object]:
        """Returns the values of these entries in the scratch generation."""
        values = await read_entries(self._generations.functions, self.scratch.keys, entries)
        await self.scratch.check()
        return values
