"""A scratch generation of one aggregate, in any version that is required."""

from __future__ import annotations

from uuid import UUID

from readside.event_source import history_pages
from readside.verify.compared_generations import ComparedGenerations
from readside.verify.difference import KeyEntry
from readside.verify.snapshot import read_entries


class ScratchAggregate:
    """Leaving `async with` removes it. Raises what the drivers raise, and GenerationGone."""

    def __init__(self, generations: ComparedGenerations, aggregate_id: UUID) -> None:
        self._generations = generations
        self._aggregate_id = aggregate_id
        self._scratch = generations.new_scratch()
        self._version = 0
        self.own_keys: set[str] = set()
        """The names of the keys that only the aggregate's events write."""

    async def __aenter__(self) -> ScratchAggregate:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._scratch.drop()

    @property
    def shared_keys(self) -> set[str]:
        """The names of the keys that the aggregate's events and those of other aggregates write."""
        return self._scratch.shared_keys

    @property
    def sums(self) -> dict[str, str]:
        """The grouped sums to which the aggregate contributes, as in ScratchGeneration."""
        return self._scratch.sums

    async def build(self, version: int) -> int:
        """Brings the aggregate to that version; returns the version reached: lower if the log ends before."""
        if version < self._version:
            await self._scratch.drop()
            self._scratch, self._version = self._generations.new_scratch(), 0
        await self._scratch.keep_alive()
        async for page in history_pages(
            self._generations.event_source, self._aggregate_id, self._version
        ):
            wanted = [envelope for envelope in page if envelope.version <= version]
            await self._scratch.add(wanted)
            if len(wanted) < len(page):
                break
        self._version = version
        self.own_keys |= self._scratch.owned_keys.get(str(self._aggregate_id), set())
        return self._scratch.versions.get(self._aggregate_id, 0)

    async def suspects(self) -> set[KeyEntry]:
        """Returns the entries that differ in the active generation, unless it has changed meanwhile."""
        comparison = self._generations.comparison(self._scratch)
        differing, _ = await comparison.shared_keys(self.shared_keys)
        own_keys = self._scratch.owned_keys.get(str(self._aggregate_id), ())
        return differing | await comparison.owned_keys(own_keys)

    async def read(self, entries: list[KeyEntry]) -> list[object]:
        """Returns the values of these entries in the scratch generation."""
        values = await read_entries(self._generations.functions, self._scratch.keys, entries)
        await self._scratch.check()
        return values
