"""Applies events to one generation: envelopes become Redis commands, and one function call applies a batch.

A failure stops one aggregate only: missing events are read from the event log, and an event that cannot be
decoded or projected parks its aggregate. The version gate in functions.lua decides; this module prepares and
follows up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

import msgspec
import structlog

from domain.envelope import Envelope
from readside.command_rules import check_commands, keys_of
from readside.event_source import EventSource
from readside.projection import Command, ProjectedEvent, Projection, Projections
from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import Keys
from readside.timestamps import to_rfc3339_millis

APPLIED, DUPLICATE, PARKED, POISON = 1, 0, 2, 3
"""Outcomes of an event in the version gate. A negative one is a gap: -1 - the version of the aggregate."""

FILLED = 4
"""A missing event that was read from the log; counted in addition to its outcome.
As an outcome of the gate: the aggregate misses so many events that it is resynced in slices."""

UNFINISHED = 5
"""The event that ends an aggregate has left entries in an index: it is to be applied again.
If it is not, a resync does so, which the function has requested."""

MAX_BATCH_EVENTS = 250
"""Limit of one function call, so that it blocks Redis for a few milliseconds at most."""

MAX_SLICE_EVENTS = 100
"""Limit of events of one aggregate that are applied before other aggregates' events have their turn."""

OnApplied = Callable[[Envelope], None]

_log = structlog.get_logger(__name__)
_pack = msgspec.msgpack.Encoder().encode


class Delivery(msgspec.Struct, frozen=True):
    """An envelope to apply."""

    envelope: Envelope
    entry_id: str = ""
    """The stream entry to acknowledge; '' for an envelope from the event log."""
    visible_from: int = 0
    """Hides an aggregate that is being resynced from readers below this version."""
    folded: list[Command] | None = None
    """The commands of all events of the aggregate up to this one, which then needs no predecessor."""

    @property
    def event_count(self) -> int:
        return 1 if self.folded is None else self.envelope.version


class EventApplier:
    """The way into one generation of one partition. Raises GenerationGone when it is void or removed."""

    def __init__(
        self,
        functions: Functions,
        event_source: EventSource,
        keys: Keys,
        projections: Projections,
        on_applied: OnApplied | None = None,
    ) -> None:
        """`on_applied` is called with each applied event, except while a generation is built."""
        self.keys = keys
        self.projections = projections
        self._on_applied = on_applied
        self._functions = functions
        self._event_source = event_source
        partition = keys.partition
        self._names = [
            *(partition.stream, partition.generations),
            *(keys.parked, keys.counters, keys.needs_resync),
        ]

    async def apply(
        self, deliveries: Sequence[Delivery], *, publish: bool, defer: bool = False
    ) -> Counter[int]:
        """Applies envelopes in order, fills gaps and acknowledges; returns the number of each outcome.

        With `defer` an aggregate that misses many events, or ends with many entries in an index, is left to
        `resync_slice`: others do not wait.
        """
        outcomes: Counter[int] = Counter()
        gaps: list[Delivery] = []
        max_missing = MAX_BATCH_EVENTS if defer else None
        for batch in _batches(deliveries):
            for delivery, outcome in zip(
                batch, await self._apply(batch, publish, max_missing), strict=True
            ):
                if outcome < 0:
                    # A folded delivery that failed is applied event by event, with this one as the last.
                    gaps.append(msgspec.structs.replace(delivery, folded=None))
                else:
                    outcomes[APPLIED if outcome == UNFINISHED else outcome] += 1
                    while outcome == UNFINISHED and not defer:
                        [outcome] = await self._apply([delivery], publish)
        if gaps:
            outcomes += await self._fill(gaps, publish)
        return outcomes

    async def resync_aggregate(self, aggregate_id: UUID) -> None:
        """Replays all events of an aggregate whose keys are incomplete."""
        started = False
        while await self.resync_slice(aggregate_id, started=started):
            started = True

    async def resync_slice(self, aggregate_id: UUID, *, started: bool) -> bool:
        """Replays the next MAX_SLICE_EVENTS events of an aggregate; returns whether there are more.

        The progress is stored in Redis, so any process may apply the next slice, and two at the same time do
        no harm. `started`: the caller has applied a slice before.
        """
        newest = await self._event_source.newest(aggregate_id)
        if newest is None:
            await self._park_unknown(aggregate_id)
            return False
        document = self._document(newest)
        version, visible_from = await self._progress(document)
        starts = not (visible_from or started)
        if starts:
            version = newest.version - 1 if newest.is_final else 0
            visible_from = newest.version
        if not visible_from:
            return False
        page = await self._event_source.history(aggregate_id, version, MAX_SLICE_EVENTS)
        if starts and not await self._reset(newest):
            return False
        if not page or page[0].version != version + 1:
            event_type = page[0].type if page else "unknown"
            await self._park(aggregate_id, document, event_type, version + 1)
            return False
        deliveries = [Delivery(envelope, visible_from=visible_from) for envelope in page]
        outcomes = await self._apply(deliveries, publish=True)
        if newest.is_final and {POISON, PARKED}.intersection(outcomes):
            # An erasure does not wait behind a parked event.
            return UNFINISHED in await self._apply([Delivery(newest)], publish=True)
        if page[-1].version < visible_from or min(outcomes) < 0 or UNFINISHED in outcomes:
            return not {POISON, PARKED}.intersection(outcomes)
        _log.warning("aggregate.resynced", aggregate_id=str(aggregate_id), events=page[-1].version)
        return False

    async def finish_resync(self, aggregate_id: UUID) -> None:
        """Removes an aggregate from needs_resync, unless more events were deferred meanwhile."""
        newest = await self._event_source.newest(aggregate_id)
        document = self.keys.document(newest.aggregate if newest else "", aggregate_id)
        names = [document, self.keys.needs_resync]
        await self._functions.call("finish_resync", names, str(aggregate_id))

    async def discard_entry(self, entry_id: str) -> None:
        """Acknowledges an entry that holds no event."""
        await self._call([msgspec.Raw(_pack((entry_id, False)))], set())

    async def _progress(self, key: str) -> tuple[int, int]:
        """Returns the version in a document, and the version below which it is hidden; 0 for none."""
        command = ("HMGET", key, "version", "until")
        [reply] = await self._functions.call("read_snapshot", [key], _pack([command]))
        version, visible_from = (None, None) if isinstance(reply, Exception) else reply
        return int(version or 0), int(visible_from or 0)

    async def _reset(self, newest: Envelope) -> bool:
        """Returns False if Redis has a newer version than this last event."""
        names = [self._document(newest), self.keys.parked]
        arguments = str(newest.aggregate_id), newest.version
        return bool(await self._functions.call("reset_aggregate", names, *arguments))

    def _document(self, envelope: Envelope) -> str:
        return self.keys.document(envelope.aggregate, envelope.aggregate_id)

    async def _fill(self, gaps: list[Delivery], publish: bool) -> Counter[int]:
        """Applies each aggregate's early events in order of version, after the events missing before them."""
        outcomes: Counter[int] = Counter()
        for aggregate_id in dict.fromkeys(gap.envelope.aggregate_id for gap in gaps):
            early = [gap for gap in gaps if gap.envelope.aggregate_id == aggregate_id]
            early.sort(key=lambda gap: gap.envelope.version)
            while early:
                batch, early = early[:MAX_BATCH_EVENTS], early[MAX_BATCH_EVENTS:]
                batch_outcomes = await self._apply(batch, publish, hidden=True)
                outcomes.update(outcome for outcome in batch_outcomes if outcome >= 0)
                still = [(d, o) for d, o in zip(batch, batch_outcomes, strict=True) if o < 0]
                early = [delivery for delivery, _ in still] + early
                if still:
                    outcomes += await self._from_log(early[0].envelope, -1 - still[0][1], publish)
        return outcomes

    async def _from_log(self, early: Envelope, version: int, publish: bool) -> Counter[int]:
        """Applies the log's events between `version` and this event; parks the aggregate if there are none.

        The aggregate is hidden between two calls. Later events are not read: they are in the stream. Nothing
        is missing if the event was refused because its call did not declare all keys.
        """
        aggregate_id, outcomes = early.aggregate_id, Counter[int]()
        if version == early.version - 1:
            return outcomes
        while limit := min(MAX_BATCH_EVENTS, early.version - 1 - version):
            missing = await self._event_source.history(aggregate_id, version, limit)
            if not missing or missing[0].version != version + 1:
                break
            filled = [Delivery(envelope, visible_from=early.version) for envelope in missing]
            batch_outcomes = await self._apply(filled, publish)
            outcomes.update(outcome for outcome in batch_outcomes if outcome >= 0)
            outcomes[FILLED] += len(missing)
            version = missing[-1].version
        if not outcomes:
            await self._park(aggregate_id, self._document(early), early.type, version + 1)
        else:
            _log.info("gap.filled", aggregate_id=str(aggregate_id), events=outcomes[FILLED])
        return outcomes

    async def _park_unknown(self, aggregate_id: UUID) -> None:
        """Parks an aggregate that is hidden until a version that the log does not have, nor any other."""
        for name in self.projections:
            document = self.keys.document(name, aggregate_id)
            version, visible_from = await self._progress(document)
            if visible_from:
                await self._park(aggregate_id, document, "unknown", version + 1)

    async def _park(self, aggregate_id: UUID, document: str, event_type: str, version: int) -> None:
        """Parks an aggregate: the log does not have this version of it."""
        reason = f"version {version} is missing from the event log"
        event = (str(aggregate_id), document, version, event_type, "", (), reason, 0, False, False)
        keys = {document, *await self._held_keys({self.keys.held(aggregate_id)})}
        await self._call([msgspec.Raw(_pack(("", event)))], keys)
        _log.error("aggregate.parked", aggregate_id=str(aggregate_id), reason=reason)

    async def _apply(
        self,
        deliveries: Sequence[Delivery],
        publish: bool,
        max_missing: int | None = None,
        *,
        hidden: bool = False,
    ) -> list[int]:
        """`hidden`: the aggregates may be hidden, so that the call declares what was held of each.

        Without it such an event is reported as a gap, unless it makes its aggregate hidden itself.
        """
        written = await self._held_keys(
            {
                self.keys.held(delivery.envelope.aggregate_id)
                for delivery in deliveries
                if hidden or delivery.visible_from
            }
        )
        items = [self._prepare(delivery, publish, written) for delivery in deliveries]
        outcomes = await self._call(items, written, max_missing)
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            envelope = delivery.envelope
            if outcome == APPLIED and publish and self._on_applied is not None:
                self._on_applied(envelope)
            if outcome == POISON:
                _log.error(
                    "aggregate.parked",
                    aggregate_id=str(envelope.aggregate_id),
                    version=envelope.version,
                    type=envelope.type,
                    command_id=envelope.metadata.get("commandId"),
                )
        return outcomes

    async def _held_keys(self, held: set[str]) -> set[str]:
        """Returns these hashes of held commands, and the keys that the commands will change."""
        if not held:
            return set()
        names = list(held)
        commands = _pack([("HKEYS", name) for name in names])
        replies = await self._functions.call("read_snapshot", names, commands)
        fields = [field for reply in replies if isinstance(reply, list) for field in reply]
        keys = (keys_of(msgspec.json.decode(field, type=Command)) for field in fields)
        return held.union(*keys)

    async def _call(
        self, items: list[msgspec.Raw], written: set[str], max_missing: int | None = None
    ) -> list[int]:
        """`written` are the keys that the items may write: a function declares all keys that it accesses."""
        limit = "" if max_missing is None else max_missing
        names = [*self._names, *written]
        outcomes: list[int] = await self._functions.call(
            "apply", names, self.keys.generation, _pack(items), limit
        )
        return outcomes

    def _prepare(self, delivery: Delivery, publish: bool, written: set[str]) -> msgspec.Raw:
        """Packs each delivery alone, so that a failure to project or pack it is the poison of one event.

        Adds the keys that it may write, except for those of commands that are held.
        """
        written.add(self._document(delivery.envelope))
        if delivery.envelope.is_final:
            written.add(self.keys.held(delivery.envelope.aggregate_id))
        try:
            commands = delivery.folded
            if commands is None:
                commands = self._commands(delivery.envelope)
            packed = self._packed(delivery, publish, commands)
            written.update(*map(keys_of, commands))
            return packed
        except Exception as error:  # any error of a projection makes the event a poison event
            reason = f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode()
            return self._packed(delivery, publish, [], reason)

    def _commands(self, envelope: Envelope) -> list[Command]:
        """Returns the commands for an event. Raises any error of a projection."""
        return commands_for(self.keys, envelope, self.projections)

    def _packed(
        self, delivery: Delivery, publish: bool, commands: list[Command], reason: str = ""
    ) -> msgspec.Raw:
        envelope = delivery.envelope
        channel = self.keys.partition.changes_channel(envelope.aggregate_id) if publish else ""
        aggregate_id, document = str(envelope.aggregate_id), self._document(envelope)
        event = (
            *(aggregate_id, document, envelope.version, envelope.type, channel, commands, reason),
            *(delivery.visible_from, envelope.is_final, delivery.folded is not None),
        )
        return msgspec.Raw(_pack((delivery.entry_id, event)))


def _batches(deliveries: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    batch: list[Delivery] = []
    free = MAX_BATCH_EVENTS
    for delivery in deliveries:
        free -= delivery.event_count
        if batch and free < 0:
            yield batch
            batch, free = [], MAX_BATCH_EVENTS - delivery.event_count
        batch.append(delivery)
    if batch:
        yield batch


def commands_for(keys: Keys, envelope: Envelope, projections: Projections) -> list[Command]:
    """Returns the commands of all projections of an aggregate for an event.

    Raises Undecodable, also for an aggregate that this code does not have, RefusedCommand, and any error of a
    projection.
    """
    if envelope.skipped:
        return []
    event: ProjectedEvent[Any] = ProjectedEvent(
        aggregate=envelope.aggregate,
        aggregate_id=str(envelope.aggregate_id),
        version=envelope.version,
        occurred_at=to_rfc3339_millis(envelope.occurred_at),
        data=envelope.event(),
    )
    models = projections.get(envelope.aggregate, ())
    commands = [command for project in models for command in project(keys, event)]
    kind = models, envelope.type, len(commands)
    if kind not in _checked:
        check_commands(keys, event, commands)
        _checked.add(kind)
    return commands


_checked: set[tuple[Sequence[Projection], str, int]] = set()
"""By projections, event type and number of commands, what obeys the rules: checking each event takes long."""
