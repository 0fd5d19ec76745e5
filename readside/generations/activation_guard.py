"""The brake on the flip: a generation that parks many more users than another that can serve does not serve.

It protects from code that cannot read what the log holds, such as a forgotten upcast. The figures of all
partitions are added up, because each of them flips by itself: what serves in the end parks few more users,
or only some partitions of it serve. docs/operations.md (A new read model that is held) says what to do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from readside.generations.registry import Generations
from readside.redis_functions.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from readside.redis_functions.keys import Partition

MIN_EXCESS = 10
"""Users that may be parked beyond those of the generation that can serve."""

MIN_EXCESS_RATIO = 0.01
"""The same as a part of all users; the greater of the two holds."""


class ParkedExcess(msgspec.Struct, frozen=True):
    """How many users a new read model parks beyond those of another, as far as it is built."""

    more: int
    users: int
    """Of the read model that it is compared with."""

    def __add__(self, other: ParkedExcess) -> ParkedExcess:
        return ParkedExcess(self.more + other.more, self.users + other.users)

    @property
    def sentence(self) -> str:
        return (
            f"The new read model parks {self.more} of {self.users} users that the one before does not, so it"
            " does not serve: mend the code and deploy it, or run `tandem rebuild --accept-parked`."
        )


class TooManyParked(Exception):
    """A generation is complete and does not serve."""

    def __init__(self, excess: ParkedExcess) -> None:
        super().__init__(excess.sentence)
        self.excess = excess


class ActivationGuard:
    """The comparison of one partition's new generation with what can serve in its place."""

    def __init__(
        self, redis: Redis, partition: Partition, partitions: int, fingerprint: str
    ) -> None:
        """`redis` decodes replies; `partitions` is how many there are."""
        self._redis = redis
        self._partition = partition
        numbers = set(range(partitions)) - {partition.number}
        self._others = [partition.namespace.partition(number) for number in sorted(numbers)]
        self._fingerprint = fingerprint
        self._more = math.inf

    async def check(self, keys: Keys) -> None:
        """Raises TooManyParked if this generation may not serve."""
        total = await self._excess(keys)
        self._more = total.more
        if not total.more or await self._accepted():
            return
        for place in self._others:
            generations = Generations(self._redis, place, self._fingerprint)
            total += await self._excess(await generations.newest() or Keys(place, "none"))
        if total.more > max(MIN_EXCESS, MIN_EXCESS_RATIO * total.users):
            raise TooManyParked(total)

    async def releases(self, keys: Keys) -> bool:
        """Returns whether to check again: this partition parks fewer than it did, or that is accepted."""
        return (await self._excess(keys)).more < self._more or await self._accepted()

    async def accept(self) -> None:
        """From now on generations of this code serve, however many users they park."""
        await self._redis.set(self._partition.accepted_fingerprint, self._fingerprint)

    async def _accepted(self) -> bool:
        return bool(
            await self._redis.get(self._partition.accepted_fingerprint) == self._fingerprint
        )

    async def _excess(self, keys: Keys) -> ParkedExcess:
        """Of one partition; nothing if no other generation can serve there."""
        generations = Generations(self._redis, keys.partition, self._fingerprint)
        other = await generations.alternative(keys)
        if other is None:
            return ParkedExcess(0, 0)
        parked = await self._redis.hlen(keys.parked)
        before = await self._redis.hlen(other.parked)
        return ParkedExcess(max(0, parked - before), await self._redis.zcard(other.user_index))
