"""Parked aggregates: aggregates whose events cannot be applied, and why."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from redis.asyncio import Redis

from readside.errors import NotServing
from readside.generations.registry import Generations
from readside.redis_functions.keys import Keys, Partition


class ParkedAggregate(msgspec.Struct, frozen=True, kw_only=True):
    """A parked aggregate: the event that could not be applied, and the reason."""

    partition: int
    aggregate_id: str = msgspec.field(name="user")
    version: int
    type: str
    reason: str


class Parked:
    """The parked aggregates of one partition, in its active generation. Raises NotServing."""

    def __init__(self, redis: Redis, partition: Partition, fingerprint: str) -> None:
        """`redis` decodes replies."""
        self._redis = redis
        self._partition = partition
        self._generations = Generations(redis, partition, fingerprint)

    async def all(self) -> list[ParkedAggregate]:
        """Returns all parked aggregates; of a generation that is held because of them if none is active."""
        keys = await self._generations.active() or await self._generations.held()
        if keys is None:
            raise NotServing(self._partition.number)
        reasons: Any = await self._redis.hgetall(keys.parked)
        return [
            self._parked_aggregate(aggregate_id, reason)
            for aggregate_id, reason in sorted(reasons.items())
        ]

    async def of(self, aggregate_id: UUID) -> ParkedAggregate | None:
        """Returns the aggregate if it is parked."""
        keys = await self._active()
        reason: Any = await self._redis.hget(keys.parked, str(aggregate_id))
        return None if reason is None else self._parked_aggregate(str(aggregate_id), reason)

    async def version(self, aggregate: str, aggregate_id: UUID) -> int:
        """Returns the version that the aggregate of this name has in the read model; 0 if it has none."""
        keys = await self._active()
        return int(await self._redis.hget(keys.document(aggregate, aggregate_id), "version") or 0)

    async def _active(self) -> Keys:
        keys = await self._generations.active()
        if keys is None:
            raise NotServing(self._partition.number)
        return keys

    def _parked_aggregate(self, aggregate_id: str, reason: str) -> ParkedAggregate:
        fields = msgspec.json.decode(reason)
        return ParkedAggregate(
            partition=self._partition.number, aggregate_id=aggregate_id, **fields
        )
