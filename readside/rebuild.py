"""A new generation from the event log: the one path for first start, emptied Redis and changed projections.

Its group is made before the log is read. So an event that commits behind our page is in the stream for us,
and one that is both in the log and in the stream is a duplicate to the gate.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

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
        self, consumer: str, still_mine: Callable[[], Awaitable[bool]]
    ) -> Keys | None:
        """Builds, catches up, compares and flips. None: not now (no stream yet, or the partition was lost).

        Raises Gone if the generation was made void on the way.
        """
        keys = await self._generations.build(consumer)
        if keys is None:
            return None
        partition = keys.partition.number
        expected = await self._history.count(partition)
        gate = self._gate_of(keys)
        async for page in self._history.partition(partition, PAGE):
            if not await still_mine():
                return None
            await gate.deliver([Delivery(envelope) for envelope in page], publish=False)
        while await self._consume(gate):
            if not await still_mine():
                return None
        if not await self._whole(keys, expected) or not await self._generations.serve(keys):
            return None
        log = _log.info if expected else _log.debug
        log("rebuild.done", partition=partition, generation=keys.generation, events=expected)
        return keys

    async def _whole(self, keys: Keys, expected: int) -> bool:
        """Whether every event that was in the log at the start is applied, or belongs to a parked user."""
        applied = int(await self._redis.hget(keys.counters, "applied") or 0)
        parked = await self._redis.hlen(keys.parked)
        if applied < expected:
            log = _log.warning if parked else _log.error
            log(
                "rebuild.incomplete", generation=keys.generation, applied=applied, expected=expected
            )
        return applied >= expected or parked > 0
