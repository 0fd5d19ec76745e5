"""Partition assignment among the projector processes of the same code: all have as many, give or take one.

Every process renews its membership in Redis and derives its quota from the number of members; the quotas add
up to the number of partitions. The assignment only avoids duplicate work: the lease decides which process
works on a partition, and safety rests on the version gate.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Collection
from contextlib import suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import TANDEM, Namespace

MEMBERSHIP_SECONDS = 2.0
"""How long a process that does not renew its membership counts."""

RENEW_INTERVAL_SECONDS = 0.5

_log = structlog.get_logger(__name__)


def fair_share(partitions: int, members: Collection[str], member: str) -> int:
    """Returns the number of partitions of `member`; the first by name get one of the remainder each."""
    quotient, remainder = divmod(partitions, len(members))
    return quotient + (sorted(members).index(member) < remainder)


class PartitionAssignment:
    """The partitions that this process owns, and how many it may own."""

    def __init__(
        self,
        redis: Redis,
        fingerprint: str,
        partitions: int,
        namespace: Namespace = TANDEM,
    ) -> None:
        self._functions = Functions(redis, namespace)
        self.channel = namespace.projectors(fingerprint)
        """A message on it is a reason to call `run_once`."""
        self._partitions = partitions
        self.member = secrets.token_hex(8)
        """The name of this process, also as the holder of leases."""
        self._quota = (
            partitions  # until other members are known, so that the first work does not wait
        )
        self._renewed_at = time.monotonic()
        self._owned: list[int] = []
        self.renewed = asyncio.Event()
        """Set at the next renewal, which may leave partitions free."""

    async def run_once(self) -> bool:
        """Renews the membership and adjusts the quota. Raises what redis-py raises.

        While that is impossible for longer than a membership lasts, as the members are on one node of a
        cluster, there is no quota: the partitions of a process that ends are taken over by the others.
        """
        try:
            members = await self._functions.call(
                "join_projectors", [self.channel], self.member, int(MEMBERSHIP_SECONDS * 1000)
            )
        except (RedisError, OSError):
            if time.monotonic() > self._renewed_at + MEMBERSHIP_SECONDS:
                self._quota = self._partitions
            raise
        self._renewed_at = time.monotonic()
        quota = fair_share(self._partitions, members, self.member)
        if quota != self._quota:
            _log.info("assignment.changed", projectors=len(members), partitions=quota)
        self._quota = quota
        self.renewed.set()
        self.renewed = asyncio.Event()
        return False

    async def leave(self) -> None:
        """Ends the membership, so that the other processes take over."""
        with suppress(RedisError, OSError):  # then it expires
            await self._functions.call("leave_projectors", [self.channel], self.member)

    def may_own(self, partition: int) -> bool:
        """Returns whether the quota allows this partition. Those acquired last are given up first."""
        owned = self._owned
        rank = owned.index(partition) if partition in owned else len(owned)
        return rank < self._quota

    def acquired(self, partition: int) -> None:
        if partition not in self._owned:
            self._owned.append(partition)

    def released(self, partition: int) -> None:
        if partition in self._owned:
            self._owned.remove(partition)
