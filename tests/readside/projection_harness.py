"""Given these events, then a fetch says that: the projections on a real Valkey, through the real gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.envelope import partition_of
from domain.users.events import Event, UserId
from readside.applier import Delivery, EventApplier
from readside.generations.registry import Generations
from readside.read_models import FINGERPRINT, PROJECTIONS
from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import Partition
from readside.redis_functions.stream import RedisStream
from tests.readside.envelopes import PARTITIONS, story, user_in
from tests.readside.memory_log import Log, relay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from domain.envelope import Envelope
    from readside.projection import Projection
    from readside.queries.reader import ReadModel
    from readside.redis_functions.keys import Keys


class Told:
    """A read model that serves, and what it was told."""

    def __init__(self, redis: Redis, reads: ReadModel) -> None:
        self.redis = redis
        self.reads = reads
        self.log = Log()
        self._versions: dict[UserId, int] = {}
        self.gates: dict[int, EventApplier] = {}

    async def begin(self, projections: Sequence[Projection] = PROJECTIONS) -> None:
        """An empty read model in each partition, which serves."""
        await relay(self.log, RedisStream(self.redis))
        for partition in range(PARTITIONS):
            await self.flip(partition, projections)

    async def flip(self, partition: int, projections: Sequence[Projection] = PROJECTIONS) -> None:
        """Another generation with all that was told so far, which serves from now on."""
        keys = await self.generations(partition).create("projector")
        assert keys is not None
        gate = EventApplier(Functions(self.redis), self.log, keys, projections)
        async for _, page in self.log.events_by_user(partition, 1000):
            await gate.apply([Delivery(envelope) for envelope in page], publish=False)
        assert await self.generations(partition).activate(keys)
        self.gates[partition] = gate

    async def given(self, *events: Event, user: UserId | None = None) -> UserId:
        """These events happened to a user, in order, behind whatever happened to that user before."""
        user_id = user or user_in(0)
        version = self._versions.get(user_id, 0)
        self._versions[user_id] = version + len(events)
        await self.deliver(user_id, story(user_id, *events, after=version))
        return user_id

    async def deliver(self, user_id: UserId, envelopes: list[Envelope]) -> None:
        self.log.commit(envelopes)
        await self.gate_of(user_id).apply([Delivery(one) for one in envelopes], publish=True)

    def generations(self, partition: int) -> Generations:
        return Generations(self.redis, Partition(partition), FINGERPRINT)

    def gate_of(self, user_id: UserId) -> EventApplier:
        return self.gates[partition_of(user_id, PARTITIONS)]

    def keys_of(self, user_id: UserId) -> Keys:
        return self.gate_of(user_id).keys
