"""A scratch generation: some aggregates of the log, built in Redis next to the active generation to compare.

It uses the same projections and version gate, event by event. It is never activated or registered, has no
consumer group, so it never retains stream entries, and its keys expire if its process dies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from time import monotonic
from uuid import UUID

import msgspec
from redis.asyncio import Redis

from domain.envelope import Envelope
from readside import applier
from readside.applier import APPLIED, UNFINISHED, Delivery, EventApplier
from readside.event_source import EventSource
from readside.generations.registry import new_generation
from readside.projection import CONTRIBUTIONS, Command, Projections
from readside.redis_functions.functions import Functions, GenerationGone
from readside.redis_functions.keys import SCRATCH, Keys, Partition

EXPIRY_SECONDS = 60.0
"""Seconds after which its keys expire, unless they are kept alive."""

_CHUNK_KEYS = 500
"""Keys that one command removes or keeps alive."""

_pack = msgspec.msgpack.Encoder().encode


class ScratchGeneration(EventApplier):
    """Some aggregates of one partition. Raises GenerationGone when it has expired."""

    def __init__(
        self,
        redis: Redis,
        event_source: EventSource,
        partition: Partition,
        projections: Projections,
    ) -> None:
        keys = Keys(partition, f"{SCRATCH}:{new_generation()}")
        functions = Functions(redis, partition.namespace)
        super().__init__(functions, event_source, keys, projections)
        self._register = self._names[1] = keys.shared_key("generations")  # not the partition's
        self._redis = redis
        self._keep_alive_at = 0.0
        self._started = False
        self.events = 0
        """The number of events added."""
        self.last_aggregate: UUID | None = None
        """The aggregate of the last event."""
        self.versions: dict[UUID, int] = {}
        """By aggregate, the version that was applied last."""
        self.owned_keys: dict[str, set[str]] = {}
        """By aggregate, the names of the keys that only this aggregate's events write."""
        self.shared_keys: set[str] = set()
        """The names of the keys that events of several aggregates write, except for grouped sums."""
        self.sums: dict[str, str] = {}
        """The names of the keys of grouped sums, each with that of the contributions to them."""

    async def add(self, events: Sequence[Envelope]) -> None:
        """Applies events, each aggregate's in order of version."""
        for start in range(0, len(events), applier.MAX_SLICE_EVENTS):
            batch = events[start : start + applier.MAX_SLICE_EVENTS]
            written: set[str] = set()
            items = [self._prepare(Delivery(one), publish=False, written=written) for one in batch]
            for envelope in batch:
                self._note(str(envelope.aggregate_id), self._document(envelope))
            outcomes = await self._call(items, written)
            for envelope, item, outcome in zip(batch, items, outcomes, strict=True):
                while outcome == UNFINISHED:
                    [outcome] = await self._call([item], written)
                if outcome == APPLIED:
                    self.versions[envelope.aggregate_id] = envelope.version
            self.events += len(batch)
            self.last_aggregate = batch[-1].aggregate_id

    def note_sums(self, events: Iterable[Envelope]) -> None:
        """Records the names of grouped sums to which events contribute that are not added."""
        for envelope in events:
            with suppress(Exception):  # the event parks its aggregate
                self._note_sums(super()._commands(envelope))

    async def drop(self) -> None:
        """Removes all of its keys."""
        for names in _chunks({*self._names[1:], *self._written_keys()}):
            await self._redis.unlink(*names)

    async def _call(
        self, items: list[msgspec.Raw], written: set[str], max_missing: int | None = None
    ) -> list[int]:
        """Calls `apply_scratch`, which sets the expiry of all keys that the events may write."""
        names = [*self._names, *written]
        await self.keep_alive()
        begin, self._started = "" if self._started else "begin", True
        expiry = int(EXPIRY_SECONDS * 1000)
        outcomes: list[int] = await self._functions.call(
            "apply_scratch", names, self.keys.generation, _pack(items), expiry, begin
        )
        return outcomes

    async def check(self) -> None:
        """Raises GenerationGone unless everything that was added still exists."""
        if self._started and not await self._redis.exists(self._register):
            raise GenerationGone

    async def keep_alive(self) -> None:
        """Renews the expiry of all keys, at most every quarter of it."""
        if monotonic() < self._keep_alive_at:
            return
        self._keep_alive_at = monotonic() + EXPIRY_SECONDS / 4
        # The register last, so that it expires first.
        for names in _chunks([*self._written_keys(), self._register]):
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.pexpire(name, int(EXPIRY_SECONDS * 1000))
            await pipeline.execute()

    def _written_keys(self) -> Iterator[str]:
        for names in (*self.owned_keys.values(), self.shared_keys, self.sums):
            yield from map(self.keys.shared_key, names)

    def _commands(self, envelope: Envelope) -> list[Command]:
        """Returns the commands of the projections, and records the names of all keys in them."""
        commands = super()._commands(envelope)
        self._note_sums(commands)
        prefix = self.keys.shared_key("")
        for word in {word for command in commands for word in command[1:]}:
            if word.startswith(prefix) and word.removeprefix(prefix) not in self.sums:
                self._note(str(envelope.aggregate_id), word)
        return commands

    def _note_sums(self, commands: Iterable[Command]) -> None:
        prefix = self.keys.shared_key("")
        for command in commands:
            if command[0] in CONTRIBUTIONS:
                self.sums[command[1].removeprefix(prefix)] = command[2].removeprefix(prefix)

    def _note(self, aggregate_id: str, key: str) -> None:
        names = (
            self.owned_keys.setdefault(aggregate_id, set())
            if aggregate_id in key
            else self.shared_keys
        )
        names.add(key.removeprefix(self.keys.shared_key("")))


def _chunks(names: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(names)
    while chunk := list(islice(remaining, _CHUNK_KEYS)):
        yield chunk
