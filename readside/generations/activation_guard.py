"""Prevents the activation of a generation that parks many more aggregates than another that can be active.

It protects from code that cannot read the events of the log, such as a forgotten upcast. The figures of all
partitions are added up, because each partition activates its generation alone: in the end the active
generations park few more aggregates, or only some partitions have activated theirs. docs/operations.md
(Rebuild, Held) describes what to do.
"""

from __future__ import annotations

import math

import msgspec
from redis.asyncio import Redis

from domain.aggregates import AGGREGATES
from readside.generations.registry import Generations
from readside.redis_functions.keys import Keys, Partition

MIN_EXCESS = 10
"""Aggregates that may be parked in addition to those of the other generation."""

MIN_EXCESS_RATIO = 0.01
"""The same as a fraction of all aggregates; the greater of the two applies."""


class ParkedExcess(msgspec.Struct, frozen=True):
    """How many aggregates a new read model parks in addition to those that another one parks."""

    more: int
    aggregates: int = msgspec.field(name="users")
    """All aggregates of the other read model."""

    def __add__(self, other: ParkedExcess) -> ParkedExcess:
        return ParkedExcess(self.more + other.more, self.aggregates + other.aggregates)

    @property
    def sentence(self) -> str:
        return (
            f"The new read model parks {self.more} of {self.aggregates} aggregates that the previous one"
            " does not, so it is not activated: fix the code and deploy it, or run `tandem rebuild"
            " --accept-parked`."
        )


class TooManyParked(Exception):
    """A generation is complete and not activated."""

    def __init__(self, excess: ParkedExcess) -> None:
        super().__init__(excess.sentence)
        self.excess = excess


class ActivationGuard:
    """Compares one partition's new generation with the generation that can be active in its place."""

    def __init__(
        self, redis: Redis, partition: Partition, partitions: int, fingerprint: str
    ) -> None:
        """`redis` decodes replies; `partitions` is the number of all partitions."""
        self._redis = redis
        self._partition = partition
        numbers = set(range(partitions)) - {partition.number}
        self._others = [partition.namespace.partition(number) for number in sorted(numbers)]
        self._fingerprint = fingerprint
        self._last_more = math.inf

    async def check(self, keys: Keys) -> None:
        """Raises TooManyParked if this generation may not be activated."""
        total = await self._excess(keys)
        self._last_more = total.more
        if not total.more or await self._is_accepted():
            return
        for partition in self._others:
            generations = Generations(self._redis, partition, self._fingerprint)
            total += await self._excess(await generations.newest() or Keys(partition, "none"))
        if total.more > max(MIN_EXCESS, MIN_EXCESS_RATIO * total.aggregates):
            raise TooManyParked(total)

    async def is_released(self, keys: Keys) -> bool:
        """Returns whether to check again: this partition parks fewer, or the excess was accepted."""
        return (await self._excess(keys)).more < self._last_more or await self._is_accepted()

    async def accept(self) -> None:
        """Allows the activation of all generations with this fingerprint, however many they park."""
        await self._redis.set(self._partition.accepted_fingerprint, self._fingerprint)

    async def _is_accepted(self) -> bool:
        accepted = await self._redis.get(self._partition.accepted_fingerprint)
        return bool(accepted == self._fingerprint)

    async def _excess(self, keys: Keys) -> ParkedExcess:
        """Returns the excess of one partition; 0 if no other generation can be active there."""
        generations = Generations(self._redis, keys.partition, self._fingerprint)
        other = await generations.alternative(keys)
        if other is None:
            return ParkedExcess(0, 0)
        parked = await self._redis.hlen(keys.parked)
        parked_by_other = await self._redis.hlen(other.parked)
        total = 0
        for aggregate in AGGREGATES.values():
            total += await self._redis.zcard(other.index(aggregate.plural))
        return ParkedExcess(max(0, parked - parked_by_other), total)
