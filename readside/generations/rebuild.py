"""Builds a generation from the event log: at the first start, in an emptied Redis, for changed projections.

The group of the generation is created before the log is read. So events that commit after their page was read
are in the stream, and the version gate skips those that are in both. For the same reason an interrupted
rebuild can be resumed while its group is kept: its progress is stored next to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from readside.applier import EventApplier
from readside.event_source import EventSource, history_pages
from readside.generations import memory_capacity
from readside.generations.activation_guard import ActivationGuard, TooManyParked
from readside.generations.registry import Generations
from readside.generations.replay import Page, pages
from readside.redis_functions.functions import GenerationGone
from readside.redis_functions.keys import Keys

PAGE = 2000
"""Limit of events of the log in memory at a time."""

_log = structlog.get_logger(__name__)


class Progress(msgspec.Struct, frozen=True):
    """How far a generation is built. Stored after each page is applied, so some aggregates may come twice."""

    expected: int
    """Events in the log when the rebuild started."""
    seen: int = 0
    position: int = 0

    def after(self, page: Page) -> Progress:
        return Progress(self.expected, self.seen + page.events, page.position)


def ignore(_progress: Progress) -> None:
    """The default of `on_progress`."""


class Rebuild:
    """Builds generations of one partition."""

    def __init__(
        self,
        redis: Redis,
        event_source: EventSource,
        generations: Generations,
        activation_guard: ActivationGuard,
        applier_for: Callable[[Keys], EventApplier],
        consume: Callable[[EventApplier], Awaitable[int]],
    ) -> None:
        """`consume` applies one batch of the stream and returns its number of entries."""
        self._redis = redis
        self._event_source = event_source
        self._generations = generations
        self._activation_guard = activation_guard
        self._applier_for = applier_for
        self._consume = consume

    async def run_once(
        self, keys: Keys, consumer: str, keep_lease: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Fills a new generation, catches up, checks and activates it; returns whether it is active.

        Raises GenerationGone if it became void meanwhile. A generation that is not activated is removed,
        except a complete one: it is kept, and TooManyParked is raised.
        """
        try:
            is_active = await self.resume(keys, consumer, keep_lease)
        except TooManyParked:
            raise
        except Exception as error:
            await self._abandon(keys)
            if isinstance(error, OutOfMemoryError):
                with suppress(RedisError, OSError):
                    await memory_capacity.report_full(self._redis, keys.partition)
            raise
        if not is_active:
            await self._abandon(keys)
        return is_active

    async def resume(
        self,
        keys: Keys,
        consumer: str,
        keep_lease: Callable[[], Awaitable[bool]],
        on_progress: Callable[[Progress], None] = ignore,
    ) -> bool:
        """Like run_once, from the stored progress; a generation that is not activated is kept."""
        partition = keys.partition.number
        progress = await self._stored_progress(keys)
        applier = self._applier_for(keys)
        on_progress(progress)
        log = self._event_source.events_by_aggregate(partition, PAGE, progress.position)
        async for page in pages(keys, log, applier.projections):
            if not await keep_lease():
                return False
            await self._generations.keep_alive(keys, consumer)
            await applier.apply(page.deliveries, publish=False)
            page_start, progress = progress.position, progress.after(page)
            if progress.position != page_start:  # else the page would be read and counted again
                await self._store_progress(keys, progress)
            on_progress(progress)
        while await self._consume(applier):
            if not await keep_lease():
                return False
        expected = progress.expected
        if not await self._is_complete(keys, expected, progress.seen):
            return False
        if not await self.activate(applier, keep_lease):
            return False
        log_done = _log.info if expected else _log.debug
        log_done("rebuild.done", partition=partition, generation=keys.generation, events=expected)
        return True

    async def activate(
        self, applier: EventApplier, keep_lease: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Activates a complete generation; returns False if the lease is lost.

        Raises TooManyParked, after recording why, and GenerationGone.
        """
        keys = applier.keys
        try:
            await self._activation_guard.check(keys)
        except TooManyParked as held:
            await self._generations.hold(keys, msgspec.json.encode(held.excess))
            raise
        while not await self._generations.activate(keys):  # new entries have arrived
            if not await keep_lease():
                return False
            await self._consume(applier)
        return True

    async def _stored_progress(self, keys: Keys) -> Progress:
        """Returns the progress; for a new generation it expects the events that the log has now."""
        names = Progress.__struct_fields__
        values: Any = await self._redis.hmget(keys.counters, names)
        if None not in values:
            return Progress(*map(int, values))
        progress = Progress(await self._event_source.count(keys.partition.number))
        await self._store_progress(keys, progress)
        return progress

    async def _store_progress(self, keys: Keys, progress: Progress) -> None:
        fields: dict[Any, Any] = msgspec.structs.asdict(progress)
        await self._redis.hset(keys.counters, mapping=fields)

    async def _is_complete(self, keys: Keys, expected: int, seen: int) -> bool:
        """Returns whether all events that the log had at the start were read, and are applied or parked."""
        counter: Any = await self._redis.hget(keys.counters, "applied")
        if counter is None:
            raise GenerationGone  # Redis was emptied meanwhile
        applied = int(counter)
        parked_aggregates: Any = await self._redis.hgetall(keys.parked)
        parked = 0
        for aggregate_id, entry in parked_aggregates.items():
            version = msgspec.json.decode(entry)["version"] - 1
            waiting = history_pages(self._event_source, UUID(aggregate_id), version)
            parked += sum([len(page) async for page in waiting])
        if parked:
            _log.warning(
                "aggregates.parked", generation=keys.generation, aggregates=len(parked_aggregates)
            )
        is_complete = seen >= expected and applied + parked >= seen
        if not is_complete:
            figures = {"applied": applied, "parked": parked, "seen": seen, "expected": expected}
            _log.error("rebuild.failed", generation=keys.generation, **figures)
        return is_complete

    async def _abandon(self, keys: Keys) -> None:
        """Removes an unfinished generation, which would hold back the stream until its retention ends."""
        with suppress(RedisError, OSError):
            await self._generations.remove(keys)
