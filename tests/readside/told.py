"""Given these events, then a fetch says that: the projections on a real Valkey, through the real gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events import Event, UserId, partition_of
from readside.functions import Functions
from readside.gate import Delivery, Gate
from readside.generations import Generations
from readside.keys import Partition
from readside.models import FINGERPRINT, PROJECTIONS
from readside.stream import RedisStream
from tests.readside.log import Log, relay
from tests.readside.stories import PARTITIONS, story, user_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from domain.events import Envelope
    from readside.gate import Project
    from readside.keys import Keys
    from readside.reader import Reads


class Told:
    """A read model that serves, and what it was told."""

    def __init__(self, redis: Redis, reads: Reads) -> None:
        self.redis = redis
        self.reads = reads
        self.log = Log()
        self._versions: dict[UserId, int] = {}
        self.gates: dict[int, Gate] = {}

    async def begin(self, projections: Sequence[Project] = PROJECTIONS) -> None:
        """An empty read model in each partition, which serves."""
        await relay(self.log, RedisStream(self.redis))
        for partition in range(PARTITIONS):
            await self.flip(partition, projections)

    async def flip(self, partition: int, projections: Sequence[Project] = PROJECTIONS) -> None:
        """Another generation with all that was told so far, which serves from now on."""
        keys = await self.generations(partition).build("projector")
        assert keys is not None
        gate = Gate(Functions(self.redis), self.log, keys, projections)
        async for _, page in self.log.partition(partition, 1000):
            await gate.deliver([Delivery(envelope) for envelope in page], publish=False)
        assert await self.generations(partition).serve(keys)
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
        await self.gate_of(user_id).deliver([Delivery(one) for one in envelopes], publish=True)

    def generations(self, partition: int) -> Generations:
        return Generations(self.redis, Partition(partition), FINGERPRINT)

    def gate_of(self, user_id: UserId) -> Gate:
        return self.gates[partition_of(user_id, PARTITIONS)]

    def keys_of(self, user_id: UserId) -> Keys:
        return self.gate_of(user_id).keys
