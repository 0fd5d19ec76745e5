"""The read side put together on a real Valkey, with the event log in memory; tests drive its passes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING
from uuid import UUID

from domain.envelope import partition_of
from domain.event import DomainEvent
from domain.users.events import UserId
from readside.admin.maintenance import PartitionMaintenance
from readside.generations.registry import Generations
from readside.projection_set import FINGERPRINT, PROJECTIONS
from readside.projector.projector import CONSUMER, Projector
from readside.redis_functions.keys import Partition
from readside.redis_functions.stream import RedisStream
from readside.verify import stream_progress, verify
from readside.verify.verify import Verify
from tests.readside.envelopes import PARTITIONS, story
from tests.readside.memory_log import Log, relay

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import pytest
    from redis.asyncio import Redis

    from readside.projection import Projection, Projections
    from readside.projector.assignment import PartitionAssignment
    from readside.redis_functions.keys import Keys


def with_projections(*more: Projection) -> Projections:
    """Returns the projections of the service with more for the events of users."""
    return {**PROJECTIONS, "user": (*PROJECTIONS["user"], *more)}


def advance_while_verify_waits(
    monkeypatch: pytest.MonkeyPatch, projector: Projector
) -> list[float]:
    """Makes each sleep one pass of the projector that takes verify 50 ms; returns the list of the sleeps."""
    sleeps = list[float]()

    async def advance(seconds: float) -> None:
        sleeps.append(seconds)
        await projector.run_once()

    clock = SimpleNamespace(monotonic=lambda: 0.05 * len(sleeps))
    monkeypatch.setattr(asyncio, "sleep", advance)
    monkeypatch.setattr(verify, "time", clock)
    monkeypatch.setattr(stream_progress, "time", clock)
    return sleeps


class World:
    """The read side with an event log in memory; `relay` and the projectors' passes process commits."""

    def __init__(self, redis: Redis, streams: Redis) -> None:
        self.redis = redis
        self.log = Log()
        self._streams = streams
        self._versions: dict[UUID, int] = {}

    def commit(self, user: UUID, *events: DomainEvent, aggregate: str = "user") -> int:
        """Returns the aggregate's version."""
        before = self._versions.get(user, 0)
        self._versions[user] = before + len(events)
        self.log.commit(story(user, *events, after=before, aggregate=aggregate))
        return self._versions[user]

    async def relay(self) -> None:
        await relay(self.log, RedisStream(self.redis))

    def projector(
        self,
        partition: int = 0,
        *,
        projections: Projections = PROJECTIONS,
        fingerprint: str = FINGERPRINT,
        share: PartitionAssignment | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> Projector:
        return Projector(
            self.redis,
            self._streams,
            self.log,
            partition,
            partitions=PARTITIONS,
            projections=projections,
            fingerprint=fingerprint,
            assignment=share,
            on_progress=beat,
        )

    def verify(
        self,
        partition: int = 0,
        patience: float = 0.2,
        projections: Projections = PROJECTIONS,
    ) -> Verify:
        return Verify(
            self.redis,
            self.log,
            partition,
            projections=projections,
            fingerprint=FINGERPRINT,
            timeout_seconds=patience,
        )

    def steering(
        self,
        partition: int = 0,
        fingerprint: str = FINGERPRINT,
        projections: Projections = PROJECTIONS,
    ) -> PartitionMaintenance:
        return PartitionMaintenance(
            self.redis,
            self._streams,
            self.log,
            partition,
            partitions=PARTITIONS,
            projections=projections,
            fingerprint=fingerprint,
        )

    async def settle(self, *projectors: Projector) -> None:
        """Runs passes until none finds work."""
        await self.relay()
        while sum([await projector.run_once() for projector in projectors]):
            pass

    async def build(self) -> None:
        """Builds the read model of every partition with projectors that end then."""
        await self.relay()
        for partition in range(PARTITIONS):
            async with self.projector(partition) as projector:
                await self.settle(projector)

    async def serving(self, partition: int = 0, fingerprint: str = FINGERPRINT) -> Keys | None:
        return await self.generations(partition, fingerprint).active()

    def generations(self, partition: int = 0, fingerprint: str = FINGERPRINT) -> Generations:
        return Generations(self.redis, Partition(partition), fingerprint)

    async def hash_of(self, user: UserId) -> dict[str, str]:
        """Returns the user's hash in the active generation."""
        keys = await self.serving(partition_of(user, PARTITIONS))
        assert keys is not None
        found: Any = await self.redis.hgetall(keys.document("user", user))
        return dict(found)

    async def version_of(self, user: UserId) -> int:
        return int((await self.hash_of(user)).get("version", 0))

    async def read_and_die(self, partition: int = 0) -> int:
        """Reads entries and applies none, as a projector that dies; returns their number."""
        keys = await self.serving(partition)
        assert keys is not None
        stream: Any = {keys.partition.stream: ">"}
        reply: Any = await self.redis.xreadgroup(keys.generation, CONSUMER, stream)
        return len(reply[0][1]) if reply else 0

    async def pending(self, partition: int = 0) -> int:
        keys = await self.serving(partition)
        assert keys is not None
        summary: Any = await self.redis.xpending(keys.partition.stream, keys.generation)
        return int(summary["pending"])

    async def length(self, partition: int = 0) -> int:
        """Returns the length of the stream."""
        return int(await self.redis.xlen(Partition(partition).stream))
