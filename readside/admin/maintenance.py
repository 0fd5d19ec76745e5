"""What a person asks of one partition, beside the projector that runs: rebuild it, go back, make a user anew.

Nothing here stops anybody: readers are answered from the old generation until the pointer moves, and the
projector hears within a second that another serves. The lease only keeps two people from the same work.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import msgspec
from redis.exceptions import OutOfMemoryError, RedisError

from domain.users.events import UserId
from readside.event_source import EventSource
from readside.generations.activation_guard import ActivationGuard, TooManyParked
from readside.generations.memory_capacity import FULL
from readside.generations.rebuild import Progress, ignore
from readside.generations.registry import Generations
from readside.projector.lease import LEASE_SECONDS
from readside.projector.projector import CONSUMER, Projector
from readside.redis_functions.functions import Functions, GenerationGone
from readside.redis_functions.keys import TANDEM, Keys, Namespace

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from readside.projection import Projection

_PATIENCE = 1.5 * LEASE_SECONDS
"""Seconds after which the lease of somebody who was killed is surely over."""


class MaintenanceRefused(Exception):
    """It cannot be done now; str() is one sentence that says what to do."""


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """From which generation to which a partition has turned."""

    partition: int
    before: str | None
    after: str


class PartitionMaintenance:
    """One partition in the hands of a person. Raises what the drivers raise, and MaintenanceRefused."""

    def __init__(
        self,
        redis: Redis,
        streams: Redis,
        history: EventSource,
        partition: int,
        *,
        partitions: int,
        projections: tuple[Projection, ...],
        fingerprint: str,
        namespace: Namespace = TANDEM,
    ) -> None:
        """Both clients decode replies; `partitions` is how many there are."""
        self._partition = namespace.partition(partition)
        self._brake = ActivationGuard(redis, self._partition, partitions, fingerprint)
        self._history = history
        self._functions = Functions(redis, namespace)
        self._generations = Generations(redis, self._partition, fingerprint)
        self._hands = Projector(
            redis,
            streams,
            history,
            partition,
            partitions=partitions,
            projections=projections,
            fingerprint=fingerprint,
            namespace=namespace,
        )
        self._owner = self._partition.lease(f"rebuild-{fingerprint}")
        self._me = secrets.token_hex(8)
        self._redis = redis

    async def events(self) -> int:
        """How many events a rebuild has to read."""
        return await self._history.count(self._partition.number)

    async def rebuild(self, told: Callable[[Progress], None] = ignore) -> Switch:
        """A new generation from the log, or the rest of one that was left unfinished, and the flip to it."""
        async with self._alone():
            before = await self._generations.active()
            for keys in await self._generations.interrupted():
                if await self._filled(keys, told):
                    return await self._flipped(before, keys)
            keys = await self._new()
            if not await self._filled(keys, told):
                raise self._not_whole()
            return await self._flipped(before, keys)

    async def accept_parked(self) -> None:
        """Lets generations of this version of the code serve, however many users they park."""
        await self._brake.accept()

    async def give_back(self) -> Switch:
        """The generation that served before is brought up to the present and serves again."""
        async with self._alone():
            before = await self._generations.active()
            keys = None if before is None else await self._generations.previous(before)
            if keys is None:
                raise self._nothing_kept()
            try:
                while not await self._generations.activate(keys):
                    await self._hands.catch_up(keys)
            except GenerationGone as gone:
                raise self._nothing_kept() from gone
            return await self._flipped(before, keys)

    async def abandon(self) -> int:
        """Removes what was left unfinished, and answers how many generations that were."""
        async with self._alone():
            left = await self._generations.interrupted()
            for keys in left:
                await self._generations.remove(keys)
            return len(left)

    async def mend(self, user_id: UserId) -> None:
        """Makes a user anew in the generation that serves. Raises Gone if nothing does any more."""
        keys = await self._generations.active()
        if keys is None:
            raise GenerationGone
        gate = self._hands.applier_for(keys)
        await self._redis.sadd(
            keys.needs_resync, str(user_id)
        )  # if we die half-way the projector goes on
        await gate.resync_user(user_id)
        await gate.finish_resync(user_id)

    async def _new(self) -> Keys:
        keys = await self._generations.create(CONSUMER, manual=True)
        if keys is None:
            raise MaintenanceRefused(
                f"The stream of partition {self._partition.number} has not been begun;"
                " start `tandem relay` (or serve) and try again."
            )
        return keys

    async def _filled(self, keys: Keys, told: Callable[[Progress], None]) -> bool:
        """Whether it serves now; what cannot come to serve is removed, what was interrupted is kept."""
        try:
            done = await self._hands.rebuild(keys, self._mine, told)
        except GenerationGone:
            done = False
        except OutOfMemoryError as error:
            await self._generations.remove(
                keys
            )  # kept for the next attempt it would take the memory of others
            raise MaintenanceRefused(
                f"Partition {self._partition.number} is not rebuilt, and the old read model serves on. {FULL}"
            ) from error
        except TooManyParked as held:  # it is complete: to accept it is to resume it
            number = self._partition.number
            raise MaintenanceRefused(f"Partition {number} serves on as it is. {held}") from held
        if not done:
            await self._generations.remove(keys)
        return done

    def _not_whole(self) -> MaintenanceRefused:
        return MaintenanceRefused(
            f"Partition {self._partition.number} did not come out whole, so what was built is removed and"
            " the old read model serves on; look at the log and try again."
        )

    async def _flipped(self, before: Keys | None, after: Keys) -> Switch:
        """What served until now is kept from now on, however long nobody has read for it; no other is."""
        if before is not None:
            with suppress(GenerationGone):
                await self._generations.keep_alive(before, CONSUMER)
            older = await self._generations.previous(before)
            if older is not None and older != after:
                await self._generations.remove(older)
        name = None if before is None else before.generation
        return Switch(partition=self._partition.number, before=name, after=after.generation)

    def _nothing_kept(self) -> MaintenanceRefused:
        return MaintenanceRefused(
            f"No earlier read model of partition {self._partition.number} is kept;"
            " `tandem rebuild` makes a new one."
        )

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        await self._take_the_lease()
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(RedisError, OSError):  # it ends by itself
                await self._functions.call("release", [self._owner], self._me)

    async def _take_the_lease(self) -> None:
        give_up = time.monotonic() + _PATIENCE
        while not await self._mine():
            if time.monotonic() > give_up:
                raise MaintenanceRefused(
                    f"Somebody else is rebuilding partition {self._partition.number};"
                    " wait until that is done."
                )
            await asyncio.sleep(LEASE_SECONDS / 10)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 4)
            with suppress(RedisError, OSError):
                await self._mine()

    async def _mine(self) -> bool:
        return bool(
            await self._functions.call("lease", [self._owner], self._me, int(LEASE_SECONDS * 1000))
        )
