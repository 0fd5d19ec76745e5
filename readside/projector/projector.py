"""The projector of one partition: reads its stream and applies the events to the active generation.

One projector works on a partition at a time, by a lease that only avoids duplicate work: two projectors do no
harm. All of them read as one consumer, so the entries that a dead one had read are read again.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.envelope import Envelope
from readside.applier import Delivery, EventApplier, OnApplied
from readside.event_source import EventSource
from readside.generations.activation_guard import ActivationGuard, TooManyParked
from readside.generations.rebuild import Progress, Rebuild
from readside.generations.registry import Generations, read_entries
from readside.projection import Projections
from readside.projector.assignment import PartitionAssignment
from readside.projector.lease import Lease
from readside.redis_functions.functions import Functions, GenerationGone
from readside.redis_functions.keys import TANDEM, Keys, Namespace

CONSUMER = "projector"

MAX_ENTRIES = 500
"""Limit of entries in one read."""

_STREAM_POLL_SECONDS = 0.05
"""How often a missing stream is checked for."""

_LEASE_POLL_SECONDS = 0.1
"""How often a lease that another process holds is tried, when no notification arrives."""

_RESYNC_INTERVAL_SECONDS = 1.0
"""How often losses are checked for."""

_CLEAN_UP_INTERVAL_SECONDS = 10.0
"""How often unused generations are removed."""

_log = structlog.get_logger(__name__)
_envelope_decoder = msgspec.json.Decoder(Envelope)


class Projector:
    """Works on one partition while it holds the lease, which leaving `async with` releases."""

    def __init__(
        self,
        redis: Redis,
        stream_reader: Redis,
        event_source: EventSource,
        partition: int,
        *,
        partitions: int,
        projections: Projections,
        fingerprint: str,
        on_applied: OnApplied | None = None,
        on_progress: Callable[[], None] = lambda: None,
        assignment: PartitionAssignment | None = None,
        namespace: Namespace = TANDEM,
    ) -> None:
        """Both clients decode replies; a read of `stream_reader` may block for as long as `run_once` waits.

        `partitions` is the number of all partitions: the activation guard adds them up. `on_applied` is
        called with each applied event, `on_progress` for each page of a rebuild.
        """
        self.outcomes: Counter[int] = Counter()
        """The number of events with each outcome (see readside.applier) since the start."""
        self._assignment = assignment
        self._on_applied = on_applied
        self._on_progress = on_progress
        self._redis = redis
        self._stream_reader = stream_reader
        self._event_source = event_source
        self._projections = projections
        self._partition = namespace.partition(partition)
        self._functions = Functions(redis, namespace)
        self._generations = Generations(redis, self._partition, fingerprint)
        self._activation_guard = ActivationGuard(redis, self._partition, partitions, fingerprint)
        self._rebuild = Rebuild(
            redis,
            event_source,
            self._generations,
            self._activation_guard,
            self.applier_for,
            self._consume,
        )
        holder = assignment.member if assignment is not None else secrets.token_hex(8)
        self._lease = Lease(self._functions, self._partition.lease(fingerprint), holder)
        self._cleaned_up_at = -_CLEAN_UP_INTERVAL_SECONDS
        self._resync_checked_at = -_RESYNC_INTERVAL_SECONDS
        self._resyncing: dict[str, bool] = {}
        """Aggregates to resync, the next one first, and whether their resync has started."""
        self._clean_up_task: asyncio.Task[None] | None = None
        self._orphans_removed_for = ""
        self._applier: EventApplier | None = None
        self._is_held = False
        """Whether its generation is complete and not active (readside.generations.activation_guard)."""
        self._pending = True
        """Whether entries may have been read and not acknowledged: before an error, or by another process."""

    async def __aenter__(self) -> Projector:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._clean_up_task is not None:
            self._clean_up_task.cancel()
        with suppress(RedisError, OSError):  # the lease expires
            await self._release()

    async def run_once(self, *, wait: float = 0.0) -> int:
        """Applies a batch, or rebuilds; returns the number of entries. Waits `wait` seconds for work."""
        renewed = self._assignment.renewed if self._assignment is not None else asyncio.Event()
        if not await self._owns_partition():
            self._applier = None
            with suppress(TimeoutError):
                async with asyncio.timeout(min(wait, _LEASE_POLL_SECONDS)):
                    await renewed.wait()
            return 0
        try:
            if self._applier is None:
                return await self._take_over(wait)
            self._start_clean_up(self._applier)
            more = await self._resync(self._applier)
            entry_count = await self._consume(self._applier, 0.0 if more else wait, defer=True)
            return entry_count + more
        except GenerationGone:
            self._applier = None
            return 1  # the next pass finds or builds another generation
        except BaseException:
            self._pending = True
            raise

    async def _take_over(self, wait: float) -> int:
        """Finds the active generation, or builds one."""
        keys = await self._generations.active()
        self._is_held = keys is None
        keys = keys or await self._generations.held() or await self._build(wait)
        if keys is None:
            return 0
        self._pending = True
        self._resyncing = {}
        self._applier = self.applier_for(keys)
        return 1

    async def _build(self, wait: float) -> Keys | None:
        """Returns a new active or held generation; None, after a pause, if it cannot be built now."""
        keys = await self._generations.create(CONSUMER)
        if keys is None:
            await asyncio.sleep(min(wait, _STREAM_POLL_SECONDS))
            return None
        try:
            async with (
                self._lease.renewing()
            ):  # counting a long log may take longer than the lease lasts
                # The quota may shrink meanwhile: another process would have to start again.
                if await self._rebuild.run_once(keys, CONSUMER, self._renew_and_report):
                    # The replaced generation may be void, or hold erased data.
                    self._cleaned_up_at = -_CLEAN_UP_INTERVAL_SECONDS
                    self._is_held = False
                    return keys
        except TooManyParked as held:
            partition = self._partition.number
            _log.error(
                "activation.blocked", partition=partition, **msgspec.structs.asdict(held.excess)
            )
            return keys
        await asyncio.sleep(wait)
        return None

    async def rebuild(
        self,
        keys: Keys,
        keep_lease: Callable[[], Awaitable[bool]],
        on_progress: Callable[[Progress], None],
    ) -> bool:
        """Fills a generation next to the active one, without the lease; see Rebuild.resume."""
        self._pending = True
        return await self._rebuild.resume(keys, CONSUMER, keep_lease, on_progress)

    async def catch_up(self, keys: Keys) -> None:
        """Brings a generation up to the end of the stream, without the lease. Raises GenerationGone."""
        applier = self.applier_for(keys)
        while await self._consume(applier):
            pass

    def applier_for(self, keys: Keys) -> EventApplier:
        return EventApplier(
            self._functions, self._event_source, keys, self._projections, self._on_applied
        )

    async def _resync(self, applier: EventApplier) -> bool:
        """Replays a slice of the events of one aggregate; returns whether there are more.

        Between two slices the stream has its turn, and so have other aggregates.
        """
        try:
            if time.monotonic() >= self._resync_checked_at + _RESYNC_INTERVAL_SECONDS:
                self._resync_checked_at = time.monotonic()
                if self._is_held:
                    await self._retry_activation(applier)
                else:
                    await self._check_losses(applier)
            if self._resyncing:
                await self._resync_next(applier)
        except BaseException:
            self._resyncing = {}
            # The stream has its turn, however long this took.
            self._resync_checked_at = time.monotonic()
            raise
        return bool(self._resyncing)

    async def _check_losses(self, applier: EventApplier) -> None:
        """Checks for lost keys, and for aggregates whose resync a reader has requested."""
        await self._generations.check_intact(applier.keys)
        aggregates: Any = await self._redis.srandmember(applier.keys.needs_resync, 100)
        self._resyncing = dict.fromkeys(aggregates or (), False) | self._resyncing
        self._resync_checked_at = time.monotonic()

    async def _resync_next(self, applier: EventApplier) -> None:
        id_ = next(iter(self._resyncing))
        started = self._resyncing.pop(id_)
        if not started and not await self._redis.sismember(applier.keys.needs_resync, id_):
            return  # another process has done it
        aggregate_id = UUID(id_)
        if await applier.resync_slice(aggregate_id, started=started):
            self._resyncing[id_] = True
        else:
            await applier.finish_resync(aggregate_id)

    async def _retry_activation(self, applier: EventApplier) -> None:
        """Activates a held generation, if that is allowed by now. Raises GenerationGone if another is active.

        Removes one that cannot be activated because it missed entries.
        """
        if await self._generations.active() is not None:
            raise GenerationGone
        if await self._activation_guard.is_released(applier.keys):
            try:
                self._is_held = not await self._rebuild.activate(applier, self._renew_and_report)
            except TooManyParked:
                pass
            except GenerationGone:
                await self._generations.remove(applier.keys)
                raise

    def _start_clean_up(self, applier: EventApplier) -> None:
        """Removes unused generations in a task: they too hold back the stream."""
        is_due = time.monotonic() >= self._cleaned_up_at + _CLEAN_UP_INTERVAL_SECONDS
        if is_due and (self._clean_up_task is None or self._clean_up_task.done()):
            self._cleaned_up_at = time.monotonic()
            self._clean_up_task = asyncio.create_task(self._clean_up(applier.keys))

    async def _clean_up(self, keep: Keys) -> None:
        with suppress(RedisError, OSError):  # the next run removes the rest
            await self._generations.remove_unused(keep)
            if (
                self._orphans_removed_for != keep.generation
            ):  # scans every key, so once per generation
                await self._generations.remove_orphans()
                self._orphans_removed_for = keep.generation

    async def _consume(
        self, applier: EventApplier, wait: float = 0.0, *, defer: bool = False
    ) -> int:
        """Applies a batch of the stream; returns the number of entries. `defer` as in EventApplier.apply."""
        entries = await self._read(applier.keys, wait)
        outcomes = await applier.apply(
            [delivery for entry in entries if (delivery := await self._delivery(applier, *entry))],
            publish=True,
            defer=defer,
        )
        self.outcomes += outcomes
        if entries:
            _log.debug("batch.applied", partition=self._partition.number, outcomes=dict(outcomes))
        return len(entries)

    async def _read(self, keys: Keys, wait: float) -> list[tuple[str, dict[str, str]]]:
        """Reads entries that were read before and not acknowledged, or else new ones."""
        if self._pending:
            pending = await self._read_from(keys, "0", None)
            if pending:
                return pending
            self._pending = False
        return await self._read_from(keys, ">", max(1, int(wait * 1000)) if wait else None)

    async def _read_from(
        self, keys: Keys, start: str, block: int | None
    ) -> list[tuple[str, dict[str, str]]]:
        return await read_entries(
            self._stream_reader, keys, CONSUMER, start, count=MAX_ENTRIES, block=block
        )

    async def _delivery(
        self, applier: EventApplier, entry_id: str, fields: dict[str, str] | None
    ) -> Delivery | None:
        """Returns the envelope of an entry; discards and logs an entry that no relay has written."""
        partition = self._partition
        if (
            not fields
        ):  # read before, and trimmed since: not counted as acknowledged, so it counts as missed
            _log.warning("entry.lost", partition=partition.number, entry=entry_id)
            await self._stream_reader.xack(partition.stream, applier.keys.generation, entry_id)
            return None
        try:
            return Delivery(_envelope_decoder.decode(fields["e"]), entry_id)
        except (msgspec.MsgspecError, KeyError):
            _log.error("entry.discarded", partition=partition.number, entry=entry_id)
            await applier.discard_entry(entry_id)
            return None

    async def _renew_and_report(self) -> bool:
        """Called for each page of a rebuild; returns whether the lease is still held."""
        self._on_progress()
        return await self._holds_lease()

    async def _owns_partition(self) -> bool:
        """Returns whether to work on the partition; releases it if it is above the quota."""
        if self._assignment is None:
            return await self._holds_lease()
        number = self._partition.number
        if self._assignment.may_own(number) and await self._holds_lease():
            self._assignment.acquired(number)
            # Another projector of this process may have used up the quota during the call.
            if self._assignment.may_own(number):
                return True
        if self._lease.was_acquired:
            await self._release()
        self._assignment.released(number)
        return False

    async def _holds_lease(self) -> bool:
        if self._lease.is_fresh:
            return True
        if not await self._lease.acquire():
            return False
        # Another process may have held the lease meanwhile, read entries and died.
        self._pending = True
        return True

    async def _release(self) -> None:
        channel = () if self._assignment is None else (self._assignment.channel,)
        await self._lease.release(*channel)
