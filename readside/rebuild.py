"""A new generation from the event log: the one path for first start, emptied Redis and changed projections.

Its group is made before the log is read. So an event that commits behind our page is in the stream for us,
and one that is both in the log and in the stream is a duplicate to the gate.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import structlog
from redis.exceptions import RedisError

from domain.events import UserId
from readside.functions import Gone
from readside.gate import Delivery, Gate
from readside.generations import Generations
from readside.history import History
from readside.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis

PAGE = 1000
"""Events of the log in memory at a time."""

_log = structlog.get_logger(__name__)


class Rebuild:
    """Builds generations of one partition."""

    def __init__(
        self,
        redis: Redis,
        history: History,
        generations: Generations,
        gate_of: Callable[[Keys], Gate],
        consume: Callable[[Gate], Awaitable[int]],
    ) -> None:
        """`consume` brings one batch of the stream through a gate, and answers how many entries it had."""
        self._redis = redis
        self._history = history
        self._generations = generations
        self._gate_of = gate_of
        self._consume = consume

    async def run_once(
        self, keys: Keys, consumer: str, still_mine: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Fills a new generation, catches up, compares and flips; answers whether it serves now.

        Raises Gone if the generation was made void on the way. What does not come to serve is removed.
        """
        try:
            done = await self._build(keys, consumer, still_mine)
        except Exception:
            await self._abandon(keys)
            raise
        if not done:
            await self._abandon(keys)
        return done

    async def _build(
        self, keys: Keys, consumer: str, still_mine: Callable[[], Awaitable[bool]]
    ) -> bool:
        partition = keys.partition.number
        expected, seen = await self._history.count(partition), 0
        gate = self._gate_of(keys)
        async for page in self._history.partition(partition, PAGE):
            if not await still_mine():
                return False
            await self._generations.touch(keys, consumer)
            await gate.deliver([Delivery(envelope) for envelope in page], publish=False)
            seen += len(page)
        while await self._consume(gate):
            if not await still_mine():
                return False
        if not await self._whole(keys, expected, seen):
            return False
        while not await self._generations.serve(keys):  # more has come meanwhile
            if not await still_mine():
                return False
            await self._consume(gate)
        log = _log.info if expected else _log.debug
        log("rebuild.done", partition=partition, generation=keys.generation, events=expected)
        return True

    async def _whole(self, keys: Keys, expected: int, seen: int) -> bool:
        """Whether all that was in the log at the start was read, and is applied or set aside."""
        counted: Any = await self._redis.hget(keys.counters, "applied")
        if counted is None:
            raise Gone  # Redis was emptied meanwhile
        applied = int(counted)
        parked: Any = await self._redis.hgetall(keys.parked)
        aside = 0
        for user, why in parked.items():
            behind = msgspec.json.decode(why)["version"] - 1
            aside += len(await self._history.history(UserId(UUID(user)), behind))
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
