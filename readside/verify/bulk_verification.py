"""The first pass of `tandem verify`: compares all aggregates, page by page, at the version that Redis has.

Data changes meanwhile, so an aggregate that differs here is only a suspect, which aggregate_verification.py
verifies exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from uuid import UUID

from domain.envelope import Envelope
from readside.verify.compared_generations import ComparedGenerations
from readside.verify.difference import KeyEntry, aggregate_in
from readside.verify.orphans import VerifiedSet
from readside.verify.scratch_generation import ScratchGeneration
from readside.verify.snapshot import AggregateSnapshot

MAX_PAGE_EVENTS = 2000
"""Events in memory at a time."""

MAX_SCRATCH_EVENTS = 20_000
"""Events of a scratch generation after which no other aggregate is added to it: it uses memory of Redis."""


class BulkVerification:
    """Verifies one partition. Raises what the drivers raise, GenerationChanged and GenerationGone."""

    def __init__(self, generations: ComparedGenerations) -> None:
        self._generations = generations
        self.aggregates = 0
        """The number of aggregates compared."""
        self.suspects: dict[UUID, int] = {}
        """Aggregates that differ, or are behind the log, each with its version in the log."""
        self.verified = VerifiedSet()
        self.sums: dict[str, str] = {}
        """As in ScratchGeneration."""
        self.usual_keys: set[str] | None = None
        """The names of the keys that every aggregate has, without the id; None if there is no aggregate."""

    async def page(self, aggregates: dict[UUID, str]) -> None:
        """Compares these aggregates. Versions are read first, so the log has every event that Redis has.

        Those whose keys are incomplete are suspects at once.
        """
        snapshots = await self._generations.snapshots.aggregates(aggregates)
        newest: dict[UUID, int] = {}
        scratch = self._generations.new_scratch()
        try:
            async for events in self._generations.event_source.events_of(
                aggregates, MAX_PAGE_EVENTS
            ):
                newest.update((envelope.aggregate_id, envelope.version) for envelope in events)
                incomplete = [one for one in events if snapshots[one.aggregate_id].needs_resync]
                scratch.note_sums(incomplete)
                events = [one for one in events if not snapshots[one.aggregate_id].needs_resync]
                continued = _events_at_start(events, scratch.last_aggregate)
                await scratch.add(_applied(continued, snapshots))
                if scratch.events >= MAX_SCRATCH_EVENTS and len(continued) < len(events):
                    await self._compare(scratch, snapshots)
                    await scratch.drop()
                    scratch = self._generations.new_scratch()
                await scratch.add(_applied(events[len(continued) :], snapshots))
            await self._compare(scratch, snapshots)
        finally:
            await scratch.drop()
        self.aggregates += len(aggregates)
        for aggregate_id, version in newest.items():
            snapshot = snapshots[aggregate_id]
            is_behind = snapshot.version < version
            is_unfinished = snapshot.parked or snapshot.needs_resync
            if is_behind or is_unfinished or aggregate_id in self.suspects:
                self.suspects[aggregate_id] = version

    async def _compare(
        self, scratch: ScratchGeneration, snapshots: dict[UUID, AggregateSnapshot]
    ) -> None:
        comparison = self._generations.comparison(scratch)
        names = (name for names in scratch.owned_keys.values() for name in names)
        differing = await comparison.owned_keys(names)
        differing_shared, verified = await comparison.shared_keys(scratch.shared_keys)
        self.verified.add(verified)
        self.sums |= scratch.sums
        for aggregate_id, own_keys in scratch.owned_keys.items():
            kinds = {name.removesuffix(f":{aggregate_id}") for name in own_keys}
            self.usual_keys = kinds if self.usual_keys is None else self.usual_keys & kinds
        # The log does not lead to the version that these aggregates have.
        unreached = [
            aggregate_id
            for aggregate_id, snapshot in snapshots.items()
            if str(aggregate_id) in scratch.owned_keys
            and scratch.versions.get(aggregate_id) != snapshot.version
        ]
        suspects = [*_aggregates_of(differing | differing_shared), *unreached]
        self.suspects |= dict.fromkeys(suspects, 0)


def _events_at_start(events: Iterable[Envelope], aggregate_id: UUID | None) -> list[Envelope]:
    """Returns the first events of a page that belong to this aggregate."""
    return list(takewhile(lambda envelope: envelope.aggregate_id == aggregate_id, events))


def _applied(
    events: Iterable[Envelope], snapshots: dict[UUID, AggregateSnapshot]
) -> list[Envelope]:
    return [event for event in events if event.version <= snapshots[event.aggregate_id].version]


def _aggregates_of(entries: Iterable[KeyEntry]) -> Iterable[UUID]:
    """Returns aggregates by the name of a key, whose members may contain other ids, or else by its member."""
    aggregates = (aggregate_in(entry.name) or aggregate_in(entry.member) for entry in entries)
    return (aggregate_id for aggregate_id in aggregates if aggregate_id is not None)
