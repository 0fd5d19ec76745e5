"""A scratch generation: what the log says of some users, built beside the one that serves, to be compared.

The projections and the gate are the real ones, event by event. It never serves, has no consumer group and so
never holds back the stream, and stands in no list of generations: its keys expire, so that nothing is left
when its process dies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from domain.envelope import Envelope
from domain.users.events import UserId
from readside import applier as gating
from readside.applier import APPLIED, Delivery, EventApplier
from readside.event_source import EventSource
from readside.generations.registry import new_generation
from readside.projection import Command, ProjectedEvent, Projection
from readside.redis_functions.functions import Functions, GenerationGone
from readside.redis_functions.keys import SCRATCH, Keys, Partition

if TYPE_CHECKING:
    from redis.asyncio import Redis

EXPIRES = 60.0
"""Seconds after which its keys expire, unless its process goes on."""

_CHUNK = 500
"""Keys that are removed, or kept from expiring, at a time."""

_pack = msgspec.msgpack.Encoder().encode


class ScratchGeneration(EventApplier):
    """Of some users of one partition. Raises Gone when it has expired."""

    def __init__(
        self,
        redis: Redis,
        history: EventSource,
        partition: Partition,
        projections: Sequence[Projection],
    ) -> None:
        keys = Keys(partition, f"{SCRATCH}:{new_generation()}")
        super().__init__(
            Functions(redis, keys.partition.namespace), history, keys, (self._recorded,)
        )
        self._names[1] = keys.shared_key("generations")  # its own, in place of the partition's
        self._redis = redis
        self._originals = projections
        self._kept_until = 0.0
        self._begun = False
        self._added: set[str] = set()
        self.events = 0
        """How many were added."""
        self.last: UserId | None = None
        """The user to whom the last one belongs."""
        self.versions: dict[UserId, int] = {}
        """Of each user the version that was applied last."""
        self.own: dict[str, set[str]] = {}
        """Of each user the names of the keys that its events have written or deleted."""
        self.shared: set[str] = set()
        """The names of the keys that users share."""

    async def add(self, events: Sequence[Envelope]) -> None:
        """Applies events, of each user in order of version."""
        for start in range(0, len(events), gating.MAX_SLICE_EVENTS):
            batch = events[start : start + gating.MAX_SLICE_EVENTS]
            items = [self._prepare(Delivery(one), publish=False) for one in batch]
            for one in batch:
                self._note(str(one.user_id), self.keys.user_hash(one.user_id))
            answers = await self._call(items)
            for one, answer in zip(batch, answers, strict=True):
                if answer == APPLIED:
                    self.versions[one.user_id] = one.version
            self.events += len(batch)
            self.last = batch[-1].user_id

    async def drop(self) -> None:
        """Removes all of it."""
        written = {self.keys.shared_key(name) for names in self.own.values() for name in names}
        for names in _chunks({*self._names[1:], *written, *map(self.keys.shared_key, self.shared)}):
            await self._redis.unlink(*names)

    async def _call(self, items: list[msgspec.Raw], room: int | None = None) -> list[int]:
        """The gate's, but all keys that the events may write expire with this call."""
        names, self._added = [*self._names, *self._added], set()
        await self.keep()
        begin, self._begun = "" if self._begun else "begin", True
        answers: list[int] = await self._functions.call(
            "apply_scratch", names, self.keys.generation, _pack(items), int(EXPIRES * 1000), begin
        )
        return answers

    async def check(self) -> None:
        """Raises Gone unless everything that was added is still there."""
        if self._begun and not await self._redis.exists(self._names[1]):
            raise GenerationGone

    async def keep(self) -> None:
        """Keeps what was written long ago from expiring while more is added."""
        if monotonic() < self._kept_until:
            return
        self._kept_until = monotonic() + EXPIRES / 4
        written = (self.keys.shared_key(name) for names in self.own.values() for name in names)
        # The register last, so that it expires first.
        for names in _chunks([*written, *map(self.keys.shared_key, self.shared), self._names[1]]):
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.pexpire(name, int(EXPIRES * 1000))
            await pipeline.execute()

    def _recorded(self, keys: Keys, happened: ProjectedEvent) -> list[Command]:
        """What the projections say, once the names of all keys in it are noted."""
        commands = [one for project in self._originals for one in project(keys, happened)]
        for word in {word for command in commands for word in command[1:]}:
            if word.startswith(keys.prefix):
                self._note(happened.user_id, word)
        return commands

    def _note(self, user: str, key: str) -> None:
        self._added.add(key)
        names = self.own.setdefault(user, set()) if user in key else self.shared
        names.add(key.removeprefix(self.keys.shared_key("")))


def _chunks(names: Iterable[str]) -> Iterable[list[str]]:
    left = iter(names)
    while chunk := list(islice(left, _CHUNK)):
        yield chunk
