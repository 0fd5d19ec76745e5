"""From a partition's stream into its read models, through the version gate.

One projector works on a partition at a time, by a lease that only spares others the same work: two at once
would do no harm. All of them read as one consumer, so what a dead one had read is simply read again.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import structlog
from redis.exceptions import RedisError

from domain.envelope import Envelope
from domain.users.events import UserId
from readside.applier import Delivery, EventApplier
from readside.event_source import EventSource
from readside.generations.activation_guard import ActivationGuard, TooManyParked
from readside.generations.rebuild import Progress, Rebuild
from readside.generations.registry import Generations, entries
from readside.projector.assignment import PartitionAssignment
from readside.redis_functions.functions import Functions, GenerationGone
from readside.redis_functions.keys import TANDEM, Keys, Namespace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from readside.applier import OnApplied
    from readside.projection import Projection

CONSUMER = "projector"
MAX_ENTRIES = 500
"""The most entries of one read."""

LEASE_SECONDS = 2.0
"""Seconds after which the partition of a dead projector is free."""

_STREAM_POLL_SECONDS = 0.05
"""Seconds between looks whether a relay has begun the stream that there is not yet."""

_LEASE_POLL_SECONDS = 0.1
"""Seconds between looks whether a partition that another has may be ours now, when nobody says so."""

_RESYNC_INTERVAL_SECONDS = 1.0
"""Seconds between looks for what was lost."""

_RETIRE_INTERVAL_SECONDS = 10.0
"""Seconds between looks for generations that nobody reads any more."""

_log = structlog.get_logger(__name__)
_envelope = msgspec.json.Decoder(Envelope)


class Projector:
    """Works on one partition, whenever its lease can be had. Leaving `async with` gives the lease back."""

    def __init__(
        self,
        redis: Redis,
        reader: Redis,
        history: EventSource,
        partition: int,
        *,
        partitions: int,
        projections: tuple[Projection, ...],
        fingerprint: str,
        told: OnApplied | None = None,
        beat: Callable[[], None] = lambda: None,
        share: PartitionAssignment | None = None,
        namespace: Namespace = TANDEM,
    ) -> None:
        """Both clients decode replies; `reader` may wait in a read for as long as `run_once` is told to.

        `partitions` is how many there are: the brake on the flip looks at all.
        `told` is called with each event that has been applied, `beat` for each page of a rebuild; `share`
        says whether we may work.
        """
        self.outcomes: Counter[int] = Counter()
        """How many events came to what, since the start: see readside.applier."""
        self._share = share
        self._told = told
        self._beat = beat
        self._redis = redis
        self._reader = reader
        self._history = history
        self._projections = projections
        self._partition = namespace.partition(partition)
        self._functions = Functions(redis, namespace)
        self._generations = Generations(redis, self._partition, fingerprint)
        self._rebuild = Rebuild(
            redis,
            history,
            self._generations,
            ActivationGuard(redis, self._partition, partitions, fingerprint),
            self.gate_of,
            self._consume,
        )
        self._owner = self._partition.lease(fingerprint)
        self._me = share.me if share is not None else secrets.token_hex(8)
        self._leased_at = -LEASE_SECONDS
        self._retired_at = -_RETIRE_INTERVAL_SECONDS
        self._mended_at = -_RESYNC_INTERVAL_SECONDS
        self._mending: dict[str, bool] = {}
        """Users who are lost, the next one first, and whether they are being made anew."""
        self._retiring: asyncio.Task[None] | None = None
        self._swept = ""
        self._gate: EventApplier | None = None
        self._held = False
        """Whether its generation is complete and does not serve (readside.generations.activation_guard)."""
        self._pending = True
        """Whether entries may have been read and not acknowledged: by us before an error, or by others."""

    async def __aenter__(self) -> Projector:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._retiring is not None:
            self._retiring.cancel()
        with suppress(RedisError, OSError):  # it ends by itself
            await self._give_back()

    async def run_once(self, *, wait: float = 0.0) -> int:
        """One batch, or a whole rebuild; answers how many entries it had. Waits `wait` seconds for work."""
        word = self._share.word if self._share is not None else asyncio.Event()
        if not await self._mine():
            self._gate = None
            with suppress(TimeoutError):
                async with asyncio.timeout(min(wait, _LEASE_POLL_SECONDS)):
                    await word.wait()
            return 0
        try:
            if self._gate is None:
                return await self._take_over(wait)
            self._retire(self._gate)
            more = await self._mend(self._gate)
            found = await self._consume(self._gate, 0.0 if more else wait, defer=True)
            return found + more
        except GenerationGone:
            self._gate = None
            return 1  # there is work at once: another generation
        except BaseException:
            self._pending = True
            raise

    async def _take_over(self, wait: float) -> int:
        """Finds the generation that serves, or builds one."""
        keys = await self._generations.serving()
        self._held = keys is None
        keys = keys or await self._generations.held() or await self._build(wait)
        if keys is None:
            return 0
        self._pending = True
        self._mending = {}
        self._gate = self.gate_of(keys)
        return 1

    async def _build(self, wait: float) -> Keys | None:
        """A new generation that serves; None, after a pause, if that cannot be had now."""
        keys = await self._generations.build(CONSUMER)
        if keys is None:
            await asyncio.sleep(min(wait, _STREAM_POLL_SECONDS))
            return None
        renewing = asyncio.create_task(self._renew())
        try:
            # To the end, though our share may shrink meanwhile: another would have to begin anew.
            if await self._rebuild.run_once(keys, CONSUMER, self._still_leased):
                self._retired_at = (
                    -_RETIRE_INTERVAL_SECONDS
                )  # what it replaces may be void, or forgotten
                self._held = False
                return keys
        except TooManyParked as held:
            partition = self._partition.number
            _log.error("rebuild.held", partition=partition, **msgspec.structs.asdict(held.excess))
            return keys
        finally:
            renewing.cancel()
        await asyncio.sleep(wait)
        return None

    async def rebuild(
        self,
        keys: Keys,
        still_mine: Callable[[], Awaitable[bool]],
        told: Callable[[Progress], None],
    ) -> bool:
        """Fills a generation beside the one that serves, whoever has the lease; see Rebuild.resume."""
        self._pending = True
        return await self._rebuild.resume(keys, CONSUMER, still_mine, told)

    async def catch_up(self, keys: Keys) -> None:
        """Brings a generation up to the end of the stream, whoever has the lease. Raises Gone."""
        gate = self.gate_of(keys)
        while await self._consume(gate):
            pass

    async def _renew(self) -> None:
        """Keeps the lease while something takes longer than it lasts, such as counting a long log."""
        while True:
            await asyncio.sleep(LEASE_SECONDS / 4)
            with suppress(RedisError, OSError):
                await self._leased()

    async def _mend(self, gate: EventApplier) -> bool:
        """Applies a slice of the events of a lost user; returns whether there is more to do at once.

        Between two slices the stream has its turn, and so have other lost users.
        """
        try:
            if time.monotonic() >= self._mended_at + _RESYNC_INTERVAL_SECONDS:
                self._mended_at = time.monotonic()
                if self._held:
                    await self._offer(gate)
                else:
                    await self._look_for_lost(gate)
            if self._mending:
                await self._mend_next(gate)
        except BaseException:
            self._mending = {}
            self._mended_at = (
                time.monotonic()
            )  # so that the stream has its turn, however long this took
            raise
        return bool(self._mending)

    async def _look_for_lost(self, gate: EventApplier) -> None:
        """Now and then: checks whether anything was lost, and which users readers missed."""
        await self._generations.check(gate.keys)
        lost: Any = await self._redis.srandmember(gate.keys.needs_resync, 100)
        self._mending = dict.fromkeys(lost or (), False) | self._mending
        self._mended_at = time.monotonic()

    async def _mend_next(self, gate: EventApplier) -> None:
        user = next(iter(self._mending))
        begun = self._mending.pop(user)
        if not begun and not await self._redis.sismember(gate.keys.needs_resync, user):
            return  # another has done it
        user_id = UserId(UUID(user))
        if await gate.resync_slice(user_id, started=begun):
            self._mending[user] = True
        else:
            await gate.finish_resync(user_id)

    async def _offer(self, gate: EventApplier) -> None:
        """Lets a generation serve that was held, if it may by now. Raises Gone if another must.

        One that cannot serve because it has missed entries is removed.
        """
        if await self._generations.serving() is not None:
            raise GenerationGone
        if await self._rebuild.released(gate.keys):
            try:
                self._held = not await self._rebuild.flip(gate, self._still_leased)
            except TooManyParked:
                pass
            except GenerationGone:
                await self._generations.remove(gate.keys)
                raise

    def _retire(self, gate: EventApplier) -> None:
        """Now and then, and beside the loop: what serves nobody any more holds back the stream as well."""
        due = time.monotonic() >= self._retired_at + _RETIRE_INTERVAL_SECONDS
        if due and (self._retiring is None or self._retiring.done()):
            self._retired_at = time.monotonic()
            self._retiring = asyncio.create_task(self._retired(gate.keys))

    async def _retired(self, keep: Keys) -> None:
        with suppress(RedisError, OSError):  # the next look will find what is left
            await self._generations.retire(keep)
            if self._swept != keep.generation:  # a look at every key: not more often than it must
                await self._generations.sweep()
                self._swept = keep.generation

    async def _consume(self, gate: EventApplier, wait: float = 0.0, *, defer: bool = False) -> int:
        """Delivers one batch of the stream; `defer` as in Gate.deliver."""
        found = await self._read(gate.keys, wait)
        outcomes = await gate.apply(
            [delivery for entry in found if (delivery := await self._open(gate, *entry))],
            publish=True,
            defer=defer,
        )
        self.outcomes += outcomes
        if found:
            _log.debug("projector.batch", partition=self._partition.number, outcomes=dict(outcomes))
        return len(found)

    async def _read(self, keys: Keys, wait: float) -> list[tuple[str, dict[str, str]]]:
        """What was read before and not acknowledged comes first, then what is new."""
        if self._pending:
            pending = await self._read_from(keys, "0", None)
            if pending:
                return pending
            self._pending = False
        return await self._read_from(keys, ">", max(1, int(wait * 1000)) if wait else None)

    async def _read_from(
        self, keys: Keys, start: str, block: int | None
    ) -> list[tuple[str, dict[str, str]]]:
        return await entries(self._reader, keys, CONSUMER, start, count=MAX_ENTRIES, block=block)

    async def _open(
        self, gate: EventApplier, entry: str, fields: dict[str, str] | None
    ) -> Delivery | None:
        """The envelope in an entry. What is none was not written by a relay: it is passed over, loudly."""
        if (
            not fields
        ):  # read before, and trimmed since: not counted as taken, so that it will be missed
            _log.warning("projector.entry_lost", partition=self._partition.number, entry=entry)
            await self._reader.xack(self._partition.stream, gate.keys.generation, entry)
            return None
        try:
            return Delivery(_envelope.decode(fields["e"]), entry)
        except (msgspec.MsgspecError, KeyError):
            _log.error("projector.not_an_envelope", partition=self._partition.number, entry=entry)
            await gate.discard_entry(entry)
            return None

    def gate_of(self, keys: Keys) -> EventApplier:
        """The way into a generation of this partition."""
        return EventApplier(self._functions, self._history, keys, self._projections, self._told)

    async def _still_leased(self) -> bool:
        """Asked for each page of a rebuild."""
        self._beat()
        return await self._leased()

    async def _mine(self) -> bool:
        """Whether we are to work on the partition, and have it; gives back what is above our share."""
        if self._share is None:
            return await self._leased()
        number = self._partition.number
        if self._share.wants(number) and await self._leased():
            self._share.took(number)
            # While we asked, another projector of this process may have had the room.
            if self._share.wants(number):
                return True
        if self._leased_at > -LEASE_SECONDS:
            await self._give_back()
        self._share.lost(number)
        return False

    async def _give_back(self) -> None:
        to_tell = () if self._share is None else (self._share.channel,)
        await self._functions.call("release", [self._owner], self._me, *to_tell)
        self._leased_at = -LEASE_SECONDS

    async def _leased(self) -> bool:
        """Whether the lease is ours; it is only asked for again when a quarter of it is over."""
        if time.monotonic() < self._leased_at + LEASE_SECONDS / 4:
            return True
        asked_at = time.monotonic()
        mine = await self._functions.call(
            "lease", [self._owner], self._me, int(LEASE_SECONDS * 1000)
        )
        if mine:
            self._leased_at = asked_at
            # Whoever had the lease meanwhile, without our noticing, may have read and died since.
            self._pending = True
        return bool(mine)
