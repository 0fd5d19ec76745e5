"""Parked users: users whose events cannot be applied, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from readside.errors import NotServing
from readside.generations.registry import Generations
from readside.redis_functions.keys import Keys, Partition

if TYPE_CHECKING:
    from redis.asyncio import Redis


class ParkedUser(msgspec.Struct, frozen=True, kw_only=True):
    """A parked user: the event that could not be applied, and the reason."""

    partition: int
    user: str
    version: int
    type: str
    reason: str


class Parked:
    """The parked users of one partition, in its active generation. Raises NotServing."""

    def __init__(self, redis: Redis, partition: Partition, fingerprint: str) -> None:
        """`redis` decodes replies."""
        self._redis = redis
        self._partition = partition
        self._generations = Generations(redis, partition, fingerprint)

    async def all(self) -> list[ParkedUser]:
        """Returns all parked users; of a generation that is held because of them if none is active."""
        keys = await self._generations.active() or await self._generations.held()
        if keys is None:
            raise NotServing(self._partition.number)
        reasons: Any = await self._redis.hgetall(keys.parked)
        return [self._parked_user(user, reason) for user, reason in sorted(reasons.items())]

    async def of(self, user_id: UUID) -> ParkedUser | None:
        """Returns the user if it is parked."""
        keys = await self._active()
        reason: Any = await self._redis.hget(keys.parked, str(user_id))
        return None if reason is None else self._parked_user(str(user_id), reason)

    async def version(self, user_id: UUID) -> int:
        """Returns the version of the user in the read model; 0 if it has none."""
        keys = await self._active()
        return int(await self._redis.hget(keys.document("user", user_id), "version") or 0)

    async def _active(self) -> Keys:
        keys = await self._generations.active()
        if keys is None:
            raise NotServing(self._partition.number)
        return keys

    def _parked_user(self, user: str, reason: str) -> ParkedUser:
        fields = msgspec.json.decode(reason)
        return ParkedUser(partition=self._partition.number, user=user, **fields)
