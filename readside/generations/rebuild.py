"""A new generation from the event log: the one path for first start, emptied Redis and changed projections.

Its group is made before the log is read. So an event that commits behind our page is in the stream for us,
and one that is both in the log and in the stream is a duplicate to the gate. For the same reason one that was
interrupted may be resumed for as long as its group is kept: how far it came is noted beside it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import structlog
from redis.exceptions import OutOfMemoryError, RedisError

from domain.users.events import UserId
from readside.applier import EventApplier
from readside.event_source import EventSource, history_pages
from readside.generations import memory_capacity
from readside.generations.activation_guard import ActivationGuard, TooManyParked
from readside.generations.registry import Generations
from readside.generations.replay import Page, pages
from readside.redis_functions.functions import GenerationGone
from readside.redis_functions.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis

PAGE = 2000
"""The most events of the log in memory at a time."""

_log = structlog.get_logger(__name__)


class Progress(msgspec.Struct, frozen=True):
    """How far a generation is. What is noted comes after the deed, so some users may come twice."""

    expected: int
    """Events of the log when it was begun."""
    seen: int = 0
    position: int = 0

    def behind(self, page: Page) -> Progress:
        return Progress(self.expected, self.seen + page.events, page.position)


def ignore(_progress: Progress) -> None:
    """For whoever does not want to be told."""


class Rebuild:
    """Builds generations of one partition."""

    def __init__(
        self,
        redis: Redis,
        history: EventSource,
        generations: Generations,
        brake: ActivationGuard,
        gate_of: Callable[[Keys], EventApplier],
        consume: Callable[[EventApplier], Awaitable[int]],
    ) -> None:
        """`consume` brings one batch of the stream through a gate, and answers how many entries it had."""
        self._redis = redis
        self._history = history
        self._generations = generations
        self._brake = brake
        self._gate_of = gate_of
        self._consume = consume

    async def run_once(
        self, keys: Keys, consumer: str, still_mine: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Fills a new generation, catches up, compares and flips; answers whether it serves now.

        Raises Gone if the generation was made void on the way. What does not come to serve is removed, but
        for one that is complete: it is kept, and TooManyParked is raised.
        """
        try:
            done = await self.resume(keys, consumer, still_mine)
        except TooManyParked:
            raise
        except Exception as error:
            await self._abandon(keys)
            if isinstance(error, OutOfMemoryError):
                with suppress(RedisError, OSError):
                    await memory_capacity.report(self._redis, keys.partition)
            raise
        if not done:
            await self._abandon(keys)
        return done

    async def resume(
        self,
        keys: Keys,
        consumer: str,
        still_mine: Callable[[], Awaitable[bool]],
        told: Callable[[Progress], None] = ignore,
    ) -> bool:
        """The same from where the generation was left; what does not come to serve is kept."""
        partition = keys.partition.number
        progress = await self._begun(keys)
        gate = self._gate_of(keys)
        told(progress)
        log = self._history.events_by_user(partition, PAGE, progress.position)
        async for page in pages(keys, log, gate.projections):
            if not await still_mine():
                return False
            await self._generations.touch(keys, consumer)
            await gate.apply(page.deliveries, publish=False)
            progress = await self._behind(keys, progress, page)
            told(progress)
        while await self._consume(gate):
            if not await still_mine():
                return False
        expected = progress.expected
        if not await self._whole(keys, expected, progress.seen):
            return False
        if not await self.flip(gate, still_mine):
            return False
        tell = _log.info if expected else _log.debug
        tell("rebuild.done", partition=partition, generation=keys.generation, events=expected)
        return True

    async def released(self, keys: Keys) -> bool:
        """Returns whether a generation that was held may be offered again."""
        return await self._brake.releases(keys)

    async def flip(self, gate: EventApplier, still_mine: Callable[[], Awaitable[bool]]) -> bool:
        """Lets a complete generation serve; returns False if the lease is lost.

        Raises TooManyParked, and then notes why; and Gone.
        """
        keys = gate.keys
        try:
            await self._brake.check(keys)
        except TooManyParked as held:
            await self._generations.hold(keys, msgspec.json.encode(held.excess))
            raise
        while not await self._generations.serve(keys):  # more has come meanwhile
            if not await still_mine():
                return False
            await self._consume(gate)
        return True

    async def _begun(self, keys: Keys) -> Progress:
        """How far it came before; what was committed since it was begun is not expected of it."""
        names = Progress.__struct_fields__
        noted: Any = await self._redis.hmget(keys.counters, names)
        if None not in noted:
            return Progress(*map(int, noted))
        progress = Progress(await self._history.count(keys.partition.number))
        await self._note(keys, progress)
        return progress

    async def _behind(self, keys: Keys, before: Progress, page: Page) -> Progress:
        """Nothing is noted of pages that would come again, or their events would be seen twice."""
        progress = before.behind(page)
        if progress.position != before.position:
            await self._note(keys, progress)
        return progress

    async def _note(self, keys: Keys, progress: Progress) -> None:
        noted: dict[Any, Any] = msgspec.structs.asdict(progress)
        await self._redis.hset(keys.counters, mapping=noted)

    async def _whole(self, keys: Keys, expected: int, seen: int) -> bool:
        """Whether all that was in the log at the start was read, and is applied or set aside."""
        counted: Any = await self._redis.hget(keys.counters, "applied")
        if counted is None:
            raise GenerationGone  # Redis was emptied meanwhile
        applied = int(counted)
        parked: Any = await self._redis.hgetall(keys.parked)
        aside = 0
        for user, why in parked.items():
            before = msgspec.json.decode(why)["version"] - 1
            waiting = history_pages(self._history, UserId(UUID(user)), before)
            aside += sum([len(page) async for page in waiting])
        if aside:
            _log.warning("rebuild.parked", generation=keys.generation, users=len(parked))
        whole = seen >= expected and applied + aside >= seen
        if not whole:
            figures = {"applied": applied, "parked": aside, "seen": seen, "expected": expected}
            _log.error("rebuild.incomplete", generation=keys.generation, **figures)
        return whole

    async def _abandon(self, keys: Keys) -> None:
        """What was not finished would hold back the stream until it is retired."""
        with suppress(RedisError, OSError):
            await self._generations.remove(keys)
