"""Compares the read model with the event log while both are in use, without false alarms.

A first pass projects the aggregates of the log, page by page, into scratch generations, and Redis compares
them with the active generation. A reverse scan finds what no event has written. Suspects are then verified
exactly, repeatedly while differences may be replication lag; so what is reported has persisted.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec
from redis.asyncio import Redis

from readside.admin.parked_aggregates import ParkedAggregate
from readside.errors import NotServing
from readside.event_source import EventSource
from readside.generations.registry import Generations
from readside.projection import Projections
from readside.redis_functions.functions import GenerationGone
from readside.redis_functions.keys import TANDEM, Keys, Namespace
from readside.verify.aggregate_verification import AggregateVerdict, AggregateVerification
from readside.verify.bulk_verification import BulkVerification
from readside.verify.compared_generations import ComparedGenerations
from readside.verify.difference import Difference, KeyEntry
from readside.verify.orphans import Orphans
from readside.verify.snapshot import GenerationChanged
from readside.verify.stream_progress import POLL_SECONDS, StreamProgress
from readside.verify.sum_verification import differing_sums

PAGE = 200
"""Aggregates of one page of the first pass."""

_MAX_GENERATION_CHANGES = 5
"""How often the active generation may change during a verification."""

OnProgress = Callable[[int], None]


class NoSuchAggregate(Exception):
    """The log has no event of the aggregate; str() is one sentence."""

    def __init__(self, aggregate_id: UUID) -> None:
        super().__init__(
            f"The event log has no aggregate {aggregate_id}; check the id, or leave out the option to compare"
            " everything."
        )


class VerifyResult(msgspec.Struct, kw_only=True):
    """The result for one partition."""

    aggregates: int = msgspec.field(default=0, name="users")
    """The number of aggregates compared."""
    differences: list[Difference] = []
    parked: list[ParkedAggregate] = []


class Verify:
    """Verifies one partition. Raises what the drivers raise, NotServing and NoSuchAggregate."""

    def __init__(
        self,
        redis: Redis,
        event_source: EventSource,
        partition: int,
        *,
        projections: Projections,
        fingerprint: str,
        timeout_seconds: float = 5.0,
        namespace: Namespace = TANDEM,
    ) -> None:
        """`redis` decodes replies; `timeout_seconds`: how long to wait for replication lag."""
        self._redis = redis
        self._event_source = event_source
        self._partition = namespace.partition(partition)
        self._projections = projections
        self._fingerprint = fingerprint
        self._timeout_seconds = timeout_seconds

    async def run(self, on_progress: OnProgress = lambda _: None) -> VerifyResult:
        """Verifies all aggregates; calls `on_progress` with the number of aggregates compared so far."""
        return await self._with_active(lambda active: self._verify_all(active, on_progress))

    async def of_aggregate(self, aggregate_id: UUID) -> VerifyResult:
        """Verifies one aggregate, and the grouped sums to which it contributes."""
        if not await self._event_source.existing([aggregate_id]):
            raise NoSuchAggregate(aggregate_id)
        return await self._with_active(lambda active: self._verify_aggregate(active, aggregate_id))

    async def _with_active(
        self, verify: Callable[[ComparedGenerations], Awaitable[VerifyResult]]
    ) -> VerifyResult:
        """Starts again if the active generation changes, or a scratch generation expires."""
        for _ in range(_MAX_GENERATION_CHANGES):
            generations = ComparedGenerations(
                self._redis,
                self._event_source,
                await self._active(),
                self._projections,
                self._fingerprint,
            )
            try:
                return await verify(generations)
            except (GenerationChanged, GenerationGone):
                continue
        raise NotServing(self._partition.number)

    async def _active(self) -> Keys:
        generations = Generations(self._redis, self._partition, self._fingerprint)
        deadline = time.monotonic() + self._timeout_seconds
        while (keys := await generations.active()) is None:
            if time.monotonic() > deadline:
                raise NotServing(self._partition.number)
            await asyncio.sleep(POLL_SECONDS)
        return keys

    async def _verify_all(
        self, generations: ComparedGenerations, on_progress: OnProgress
    ) -> VerifyResult:
        progress = StreamProgress(self._redis, generations.keys)
        orphans, bulk = Orphans(generations), BulkVerification(generations)
        await progress.start()
        async for page in self._event_source.aggregates(generations.keys.partition.number, PAGE):
            await bulk.page(page)
            on_progress(bulk.aggregates)
        suspects: dict[UUID, set[KeyEntry]] = defaultdict(
            set, {id_: set() for id_ in bulk.suspects}
        )
        async for aggregate_id, entries in orphans.keys(bulk.usual_keys or set()):
            suspects[aggregate_id] |= entries
        async for aggregate_id, entries in orphans.members(bulk.verified, bulk.sums):
            suspects[aggregate_id] |= entries
        deadline = time.monotonic() + self._timeout_seconds
        verifications = [
            (
                AggregateVerification(generations, aggregate_id, entries),
                bulk.suspects.get(aggregate_id, 0),
            )
            for aggregate_id, entries in suspects.items()
        ]
        result = _result(bulk.aggregates, await self._recheck(verifications, deadline))
        await orphans.check_sizes()
        result.differences += orphans.unattributed
        result.differences += await differing_sums(generations, bulk.sums)
        result.differences += await progress.differences(deadline)
        return result

    async def _verify_aggregate(
        self, generations: ComparedGenerations, aggregate_id: UUID
    ) -> VerifyResult:
        deadline = time.monotonic() + self._timeout_seconds
        verification = AggregateVerification(generations, aggregate_id)
        result = _result(1, await self._recheck([(verification, 0)], deadline, members=True))
        result.differences += await differing_sums(generations, verification.sums)
        return result

    async def _recheck(
        self,
        verifications: list[tuple[AggregateVerification, int]],
        deadline: float,
        *,
        members: bool = False,
    ) -> list[AggregateVerdict]:
        """Returns the verdicts once no difference may be replication lag, or the deadline is over.

        It moves on while aggregates advance: a resync of many events takes longer, and so does an erasure
        that has many entries to take out of indexes.
        """
        verdicts = []
        while verifications:
            repeated = []
            wait, has_advanced = time.monotonic() < deadline, False
            for verification, required_version in verifications:
                verdict = await verification.verdict(required_version, members=members, wait=wait)
                if verdict.in_flight and wait:
                    repeated.append((verification, verdict.required_version))
                    has_advanced |= verdict.has_advanced
                else:
                    verdicts.append(verdict)
            verifications = repeated
            if has_advanced:
                deadline = max(deadline, time.monotonic() + self._timeout_seconds)
            if verifications:
                await asyncio.sleep(POLL_SECONDS)
        return verdicts


def _result(aggregates: int, verdicts: list[AggregateVerdict]) -> VerifyResult:
    return VerifyResult(
        aggregates=aggregates,
        differences=[difference for verdict in verdicts for difference in verdict.differences],
        parked=[verdict.parked for verdict in verdicts if verdict.parked is not None],
    )
