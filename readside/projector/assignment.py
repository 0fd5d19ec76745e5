"""How the projector processes of the same code share the partitions: all have as many, give or take one.

It only spares work: who works on a partition is said by its lease, and safety rests on the version gate.
Every process says in Redis, again and again, that it is there. Whoever knows how many there are knows how
many partitions to keep; these add up to all there are, so that nobody takes what another is to have.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import TANDEM, Namespace

if TYPE_CHECKING:
    from redis.asyncio import Redis

MEMBERSHIP_SECONDS = 2.0
"""Seconds after which a process that says nothing any more does not count."""

RENEW_INTERVAL_SECONDS = 0.5
"""Seconds between two words of a process."""

_log = structlog.get_logger(__name__)


def fair_share(partitions: int, members: Collection[str], me: str) -> int:
    """How many partitions `me` is to have among these; what is left over goes to the first by name."""
    each, over = divmod(partitions, len(members))
    return each + (sorted(members).index(me) < over)


class PartitionAssignment:
    """What this process has, and may have."""

    def __init__(
        self,
        redis: Redis,
        fingerprint: str,
        partitions: int,
        namespace: Namespace = TANDEM,
    ) -> None:
        self._functions = Functions(redis, namespace)
        self._key = namespace.projectors(fingerprint)
        self._partitions = partitions
        self.me = secrets.token_hex(8)  # also what the leases of this process say
        self._most = partitions  # until we have heard of others, so that nobody waits for that
        self._held: list[int] = []
        self.word = asyncio.Event()
        """Set when we next hear anew who is there: partitions may be free then."""

    @property
    def channel(self) -> str:
        """What is said there is a reason to run."""
        return self._key

    async def run_once(self) -> bool:
        """Says that we are there, and hears who else is."""
        members = await self._functions.call(
            "join_projectors", [self._key], self.me, int(MEMBERSHIP_SECONDS * 1000)
        )
        most = fair_share(self._partitions, members, self.me)
        if most != self._most:
            _log.info("share.changed", projectors=len(members), partitions=most)
        self._most = most
        self.word.set()
        self.word = asyncio.Event()
        return False

    async def leave(self) -> None:
        """From now on the others share what we had."""
        with suppress(RedisError, OSError):  # they find out by themselves
            await self._functions.call("leave_projectors", [self._key], self.me)

    def wants(self, partition: int) -> bool:
        """Whether this process may work on it: it does, or there is room. What it took last goes first."""
        held = self._held
        place = held.index(partition) if partition in held else len(held)
        return place < self._most

    def took(self, partition: int) -> None:
        if partition not in self._held:
            self._held.append(partition)

    def lost(self, partition: int) -> None:
        if partition in self._held:
            self._held.remove(partition)
