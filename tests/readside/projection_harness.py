"""Projection tests in the form given events, then a read: on a real Valkey, through the version gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.envelope import partition_of
from domain.event import DomainEvent
from domain.users.events import UserId
from readside.applier import Delivery, EventApplier
from readside.generations.registry import Generations
from readside.projection_set import FINGERPRINT, PROJECTIONS
from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import Partition
from readside.redis_functions.stream import RedisStream
from tests.readside.envelopes import PARTITIONS, story, user_in
from tests.readside.memory_log import Log, relay

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from domain.envelope import Envelope
    from readside.projection import Projections
    from readside.queries.reader import ReadModel
    from readside.redis_functions.keys import Keys


class ProjectionHarness:
    """An active read model and the log of its events."""

    def __init__(self, redis: Redis, reads: ReadModel) -> None:
        self.redis = redis
        self.reads = reads
        self.log = Log()
        self._versions: dict[UserId, int] = {}
        self.appliers: dict[int, EventApplier] = {}

    async def begin(self, projections: Projections = PROJECTIONS) -> None:
        """Activates an empty generation in each partition."""
        await relay(self.log, RedisStream(self.redis))
        for partition in range(PARTITIONS):
            await self.flip(partition, projections)

    async def flip(self, partition: int, projections: Projections = PROJECTIONS) -> None:
        """Builds and activates another generation with all events so far."""
        keys = await self.generations(partition).create("projector")
        assert keys is not None
        gate = EventApplier(Functions(self.redis), self.log, keys, projections)
        async for _, page in self.log.events_by_aggregate(partition, 1000):
            await gate.apply([Delivery(envelope) for envelope in page], publish=False)
        assert await self.generations(partition).activate(keys)
        self.appliers[partition] = gate

    async def given(
        self, *events: DomainEvent, user: UserId | None = None, aggregate: str = "user"
    ) -> UserId:
        """Commits and applies events of an aggregate, after its earlier events."""
        user_id = user or user_in(0)
        version = self._versions.get(user_id, 0)
        self._versions[user_id] = version + len(events)
        await self.deliver(user_id, story(user_id, *events, after=version, aggregate=aggregate))
        return user_id

    async def deliver(self, user_id: UserId, envelopes: list[Envelope]) -> None:
        self.log.commit(envelopes)
        await self.applier_for(user_id).apply([Delivery(one) for one in envelopes], publish=True)

    def generations(self, partition: int) -> Generations:
        return Generations(self.redis, Partition(partition), FINGERPRINT)

    def applier_for(self, user_id: UserId) -> EventApplier:
        return self.appliers[partition_of(user_id, PARTITIONS)]

    def keys_of(self, user_id: UserId) -> Keys:
        return self.applier_for(user_id).keys
