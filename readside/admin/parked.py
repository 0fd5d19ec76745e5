"""Who is set aside, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from domain.users.events import UserId
from readside.errors import NotServing
from readside.generations.registry import Generations
from readside.redis_functions.keys import Keys, Partition

if TYPE_CHECKING:
    from redis.asyncio import Redis


class ParkedUser(msgspec.Struct, frozen=True, kw_only=True):
    """A user who is parked."""

    partition: int
    user: str
    version: int
    type: str
    reason: str


class Parked:
    """The parked users of one partition, in the generation that serves. Raises NotServing."""

    def __init__(self, redis: Redis, partition: Partition, fingerprint: str) -> None:
        """`redis` decodes replies."""
        self._redis = redis
        self._partition = partition
        self._generations = Generations(redis, partition, fingerprint)

    async def all(self) -> list[ParkedUser]:
        """Also of a generation that does not serve because it parks so many."""
        keys = await self._generations.active() or await self._generations.held()
        if keys is None:
            raise NotServing(self._partition.number)
        found: Any = await self._redis.hgetall(keys.parked)
        return [self._aside(user, why) for user, why in sorted(found.items())]

    async def of(self, user_id: UserId) -> ParkedUser | None:
        keys = await self._serving()
        why: Any = await self._redis.hget(keys.parked, str(user_id))
        return None if why is None else self._aside(str(user_id), why)

    async def version(self, user_id: UserId) -> int:
        """How far the read model has the user; 0 if not at all."""
        keys = await self._serving()
        return int(await self._redis.hget(keys.user_hash(user_id), "version") or 0)

    async def _serving(self) -> Keys:
        keys = await self._generations.active()
        if keys is None:
            raise NotServing(self._partition.number)
        return keys

    def _aside(self, user: str, why: str) -> ParkedUser:
        return ParkedUser(partition=self._partition.number, user=user, **msgspec.json.decode(why))
