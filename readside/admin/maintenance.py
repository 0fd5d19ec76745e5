"""Operator actions on one partition while its projector runs: rebuild, rollback, resync of an aggregate.

Nothing is interrupted: queries read the old generation until the pointer moves, and the projector notices the
new active generation within a second. The lease only keeps two operators from doing the same work.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from readside.event_source import EventSource
from readside.generations.activation_guard import ActivationGuard, TooManyParked
from readside.generations.memory_capacity import FULL
from readside.generations.rebuild import Progress, ignore
from readside.generations.registry import Generations
from readside.projection import Projections
from readside.projector.lease import LEASE_SECONDS, Lease
from readside.projector.projector import CONSUMER, Projector
from readside.redis_functions.functions import Functions, GenerationGone
from readside.redis_functions.keys import TANDEM, Keys, Namespace

_LEASE_TIMEOUT_SECONDS = 1.5 * LEASE_SECONDS
"""Seconds after which the lease of a killed process has certainly expired."""


class MaintenanceRefused(Exception):
    """The action is not possible now; str() is one sentence that says what to do."""


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """A switch of the active generation of a partition."""

    partition: int
    before: str | None
    after: str


class PartitionMaintenance:
    """Operator actions on one partition. Raises what the drivers raise, and MaintenanceRefused."""

    def __init__(
        self,
        redis: Redis,
        streams: Redis,
        event_source: EventSource,
        partition: int,
        *,
        partitions: int,
        projections: Projections,
        fingerprint: str,
        namespace: Namespace = TANDEM,
    ) -> None:
        """Both clients decode replies; `partitions` is the number of partitions."""
        self._partition = namespace.partition(partition)
        self._guard = ActivationGuard(redis, self._partition, partitions, fingerprint)
        self._event_source = event_source
        self._generations = Generations(redis, self._partition, fingerprint)
        self._projector = Projector(
            redis,
            streams,
            event_source,
            partition,
            partitions=partitions,
            projections=projections,
            fingerprint=fingerprint,
            namespace=namespace,
        )
        self._lease = Lease(
            Functions(redis, namespace),
            self._partition.lease(f"rebuild-{fingerprint}"),
            secrets.token_hex(8),
        )
        self._redis = redis

    async def events(self) -> int:
        """Returns the number of events that a rebuild reads."""
        return await self._event_source.count(self._partition.number)

    async def rebuild(self, on_progress: Callable[[Progress], None] = ignore) -> Switch:
        """Builds a generation from the log, or resumes an interrupted one, and activates it."""
        async with self._leased():
            previous = await self._generations.active()
            for keys in await self._generations.interrupted():
                if await self._build(keys, on_progress):
                    return await self._switch(previous, keys)
            keys = await self._create()
            if not await self._build(keys, on_progress):
                raise MaintenanceRefused(
                    f"Partition {self._partition.number} was not built completely, so the new read model is"
                    " removed and the old one stays active; see the log and try again."
                )
            return await self._switch(previous, keys)

    async def accept_parked(self) -> None:
        """Allows generations of this code to become active, however many aggregates they park."""
        await self._guard.accept()

    async def rollback(self) -> Switch:
        """Brings the previous generation up to date and activates it again."""
        refused = MaintenanceRefused(
            f"No earlier read model of partition {self._partition.number} is kept;"
            " `tandem rebuild` makes a new one."
        )
        async with self._leased():
            active = await self._generations.active()
            keys = None if active is None else await self._generations.previous(active)
            if keys is None:
                raise refused
            try:
                while not await self._generations.activate(keys):
                    await self._projector.catch_up(keys)
            except GenerationGone as gone:
                raise refused from gone
            return await self._switch(active, keys)

    async def abandon(self) -> int:
        """Removes interrupted generations; returns their number."""
        async with self._leased():
            interrupted = await self._generations.interrupted()
            for keys in interrupted:
                await self._generations.remove(keys)
            return len(interrupted)

    async def resync_aggregate(self, aggregate_id: UUID) -> None:
        """Replays an aggregate in the active generation. Raises GenerationGone if no generation is active."""
        keys = await self._generations.active()
        if keys is None:
            raise GenerationGone
        applier = self._projector.applier_for(keys)
        # If this process dies, the projector continues.
        await self._redis.sadd(keys.needs_resync, str(aggregate_id))
        await applier.resync_aggregate(aggregate_id)
        await applier.finish_resync(aggregate_id)

    async def _create(self) -> Keys:
        keys = await self._generations.create(CONSUMER, manual=True)
        if keys is None:
            raise MaintenanceRefused(
                f"The stream of partition {self._partition.number} has not been started;"
                " start `tandem relay` (or serve) and try again."
            )
        return keys

    async def _build(self, keys: Keys, on_progress: Callable[[Progress], None]) -> bool:
        """Returns whether the generation is active now; if it cannot become active, removes it."""
        number = self._partition.number
        try:
            done = await self._projector.rebuild(keys, self._lease.acquire, on_progress)
        except GenerationGone:
            done = False
        except OutOfMemoryError as error:
            # Kept until the next attempt, it would use memory that Redis needs for everything else.
            await self._generations.remove(keys)
            raise MaintenanceRefused(
                f"Partition {number} is not rebuilt, and the old read model stays active. {FULL}"
            ) from error
        except TooManyParked as held:  # it is complete, and resumed once that is accepted
            raise MaintenanceRefused(
                f"Partition {number} keeps its active read model. {held}"
            ) from held
        if not done:
            await self._generations.remove(keys)
        return done

    async def _switch(self, previous: Keys | None, active: Keys) -> Switch:
        """Restarts the retention period of the generation just replaced, and removes the one before it."""
        if previous is not None:
            with suppress(GenerationGone):
                await self._generations.keep_alive(previous, CONSUMER)
            older = await self._generations.previous(previous)
            if older is not None and older != active:
                await self._generations.remove(older)
        name = None if previous is None else previous.generation
        return Switch(partition=self._partition.number, before=name, after=active.generation)

    @asynccontextmanager
    async def _leased(self) -> AsyncIterator[None]:
        deadline = time.monotonic() + _LEASE_TIMEOUT_SECONDS
        while not await self._lease.acquire():
            if time.monotonic() > deadline:
                raise MaintenanceRefused(
                    f"Another process is rebuilding partition {self._partition.number};"
                    " wait until that is done."
                )
            await asyncio.sleep(LEASE_SECONDS / 10)
        try:
            async with self._lease.renewing():
                yield
        finally:
            with suppress(RedisError, OSError):  # it expires anyway
                await self._lease.release()
