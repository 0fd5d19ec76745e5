"""Through the version gate: envelopes become commands, and one function call applies them atomically.

What cannot be applied stops its user alone: a hole is filled from the event log, and an event that cannot be
decoded or projected parks its user. The gate inside Redis decides; here we only prepare and follow up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import structlog

from domain.envelope import Envelope
from domain.users.events import UserErased, UserId
from readside.event_source import EventSource
from readside.projection import Command, ProjectedEvent
from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import Keys
from readside.timestamps import to_rfc3339_millis

APPLIED, DUPLICATE, PARKED, POISON = 1, 0, 2, 3
"""What the gate answers for an event; below zero it is a hole, -1 - the version the user has."""

FILLED = 4
"""An event that was missing, and came from the log: counted beside what it came to.
The gate answers it for an event whose user misses so many that they are filled in slices."""

BATCH = 250
"""The most events of one call, so that a call stops Redis for a few milliseconds at most."""

SLICE = 100
"""The most events of one user that are applied before other users' events have their turn."""

Projection = Callable[[Keys, ProjectedEvent], list[Command]]
OnApplied = Callable[[Envelope], None]

_log = structlog.get_logger(__name__)
_pack = msgspec.msgpack.Encoder().encode


class Delivery(msgspec.Struct, frozen=True):
    """An envelope, and the stream entry that brought it: '' if it came from the event log."""

    envelope: Envelope
    entry: str = ""
    until: int = 0
    """The version before which the user is not shown, if it is being made anew."""
    whole: list[Command] | None = None
    """What all events of the user come to, from the first to this one: then none is needed before it."""

    @property
    def events(self) -> int:
        """How many it brings."""
        return 1 if self.whole is None else self.envelope.version


class EventApplier:
    """The way into one generation of one partition. Raises Gone when that generation is no longer kept."""

    def __init__(
        self,
        functions: Functions,
        history: EventSource,
        keys: Keys,
        projections: Sequence[Projection],
        told: OnApplied | None = None,
    ) -> None:
        """`told` is called with each event that has been applied, but not while a generation is built."""
        self.keys = keys
        self._told = told
        self._functions = functions
        self._history = history
        self.projections = projections
        partition = keys.partition
        names = [partition.stream, partition.generations, keys.parked, keys.counters, keys.lost]
        self._names = names

    async def deliver(
        self, deliveries: Sequence[Delivery], *, publish: bool, defer: bool = False
    ) -> Counter[int]:
        """Applies envelopes in order, fills holes, acknowledges; answers how often which outcome came.

        With `defer` a user of whom many events are missing is left to `mend_slice`: others need not wait.
        """
        outcomes: Counter[int] = Counter()
        holes: list[Delivery] = []
        room = BATCH if defer else None
        for batch in _batches(deliveries):
            for delivery, answer in zip(
                batch, await self._apply(batch, publish, room), strict=True
            ):
                if answer < 0:
                    # What does not go as a whole goes event by event, with this as the last one.
                    holes.append(msgspec.structs.replace(delivery, whole=None))
                else:
                    outcomes[answer] += 1
        if holes:
            outcomes += await self._fill(holes, publish)
        return outcomes

    async def mend(self, user_id: UserId) -> None:
        """Makes a user of whom something was lost anew from the event log, once that can be read."""
        begun = False
        while await self.mend_slice(user_id, begun=begun):
            begun = True

    async def mend_slice(self, user_id: UserId, *, begun: bool) -> bool:
        """Applies the next events of a lost user, SLICE at most; returns whether there are more.

        How far the user is, and up to where it is hidden, stands in Redis: any process may apply the next
        slice, and two that do at once do no harm. `begun` is whether the caller has applied one before.
        """
        have, until = await self._reached(user_id)
        newest = None if until or begun else await self._history.newest(user_id)
        if newest is not None:
            erased = newest.type == UserErased.__name__  # of whom no event before leaves anything
            have, until = newest.version - 1 if erased else 0, newest.version
        if not until:
            return False
        page = await self._history.history(user_id, have, SLICE)
        if newest is not None and not await self._forget(newest):
            return False
        if not page or page[0].version != have + 1:
            await self._park(user_id, page[0].type if page else "unknown", have + 1)
            return False
        answers = await self._apply([Delivery(one, until=until) for one in page], publish=True)
        if page[-1].version < until or min(answers) < 0:
            return not {POISON, PARKED}.intersection(answers)
        _log.warning("gate.mended", user_id=str(user_id), events=page[-1].version)
        return False

    async def found(self, user_id: UserId) -> None:
        """Marks a user as no longer lost, unless more was deferred while it was made anew."""
        names = [self.keys.user(user_id), self.keys.lost]
        await self._functions.call("found", names, str(user_id))

    async def _reached(self, user_id: UserId) -> tuple[int, int]:
        """The version that a user has, and the one before which it is hidden; 0 for none."""
        key = self.keys.user(user_id)
        question = ("HMGET", key, "version", "until")
        [reply] = await self._functions.call("look", [key], _pack([question]))
        version, until = (None, None) if isinstance(reply, Exception) else reply
        return int(version or 0), int(until or 0)

    async def _forget(self, newest: Envelope) -> bool:
        """Begins to make a user anew; False if the read model is ahead of this last event."""
        user = str(newest.user_id)
        names = [self.keys.user(user), self.keys.parked]
        return bool(await self._functions.call("forget", names, user, newest.version))

    async def pass_over(self, entry: str) -> None:
        """Acknowledges an entry that holds no event."""
        await self._call([msgspec.Raw(_pack((entry, False)))])

    async def _fill(self, holes: list[Delivery], publish: bool) -> Counter[int]:
        """What came too early, user by user and in order of version, each behind what the log has."""
        outcomes: Counter[int] = Counter()
        for user_id in dict.fromkeys(hole.envelope.user_id for hole in holes):
            early = [hole for hole in holes if hole.envelope.user_id == user_id]
            early.sort(key=lambda hole: hole.envelope.version)
            while early:
                batch, early = early[:BATCH], early[BATCH:]
                answers = await self._apply(batch, publish)
                outcomes.update(answer for answer in answers if answer >= 0)
                still = [(d, a) for d, a in zip(batch, answers, strict=True) if a < 0]
                early = [delivery for delivery, _ in still] + early
                if still:
                    outcomes += await self._from_log(early[0].envelope, -1 - still[0][1], publish)
        return outcomes

    async def _from_log(self, early: Envelope, have: int, publish: bool) -> Counter[int]:
        """Applies what the log has between `have` and this event; parks the user if that is nothing.

        The user is not shown between two calls. What is behind the event is not read: it is in the stream.
        """
        user_id, outcomes = early.user_id, Counter[int]()
        while room := min(BATCH, early.version - 1 - have):
            missing = await self._history.history(user_id, have, room)
            if not missing or missing[0].version != have + 1:
                break
            filled = [Delivery(one, until=early.version) for one in missing]
            answers = await self._apply(filled, publish)
            outcomes.update(answer for answer in answers if answer >= 0)
            outcomes[FILLED] += len(missing)
            have = missing[-1].version
        if not outcomes:
            await self._park(user_id, early.type, have + 1)
        else:
            _log.info("gate.hole_filled", user_id=str(user_id), events=outcomes[FILLED])
        return outcomes

    async def _park(self, user_id: UserId, kind: str, version: int) -> None:
        """The log does not have this version either."""
        reason = f"version {version} is missing from the event log"
        user = str(user_id)
        event = user, self.keys.user(user), version, kind, "", (), reason, 0, False, False
        await self._call([msgspec.Raw(_pack(("", event)))])
        _log.error("gate.parked", user_id=str(user_id), reason=reason)

    async def _apply(
        self, deliveries: Sequence[Delivery], publish: bool, room: int | None = None
    ) -> list[int]:
        answers = await self._call(
            [self._prepare(delivery, publish) for delivery in deliveries], room
        )
        for delivery, answer in zip(deliveries, answers, strict=True):
            envelope = delivery.envelope
            if answer == APPLIED and publish and self._told is not None:
                self._told(envelope)
            if answer == POISON:
                _log.error(
                    "gate.parked",
                    user_id=str(envelope.user_id),
                    version=envelope.version,
                    type=envelope.type,
                    command_id=envelope.metadata.get("commandId"),
                )
        return answers

    async def _call(self, items: list[msgspec.Raw], room: int | None = None) -> list[int]:
        answers: list[int] = await self._functions.call(
            "apply", self._names, self.keys.generation, _pack(items), "" if room is None else room
        )
        return answers

    def _prepare(self, delivery: Delivery, publish: bool) -> msgspec.Raw:
        envelope = delivery.envelope
        channel = self.keys.partition.changed(envelope.user_id) if publish else ""
        try:
            commands = delivery.whole
            if commands is None:
                commands = commands_of(self.keys, envelope, self.projections)
            return self._item(delivery, channel, commands, "")
        except Exception as error:  # whatever a projection stumbles over is a poison event
            reason = f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode()
            return self._item(delivery, channel, [], reason)

    def _item(
        self,
        delivery: Delivery,
        channel: str,
        commands: list[Command],
        reason: str,
    ) -> msgspec.Raw:
        """Packed one by one, so that what cannot be packed is the poison of one event only."""
        user = str(delivery.envelope.user_id)
        version, kind = delivery.envelope.version, delivery.envelope.type
        key = self.keys.user(user)
        last, whole = ends(kind), delivery.whole is not None
        event = (user, key, version, kind, channel, commands, reason, delivery.until, last, whole)
        return msgspec.Raw(_pack((delivery.entry, event)))


def ends(kind: str) -> bool:
    """Returns whether events of this type are the last of their user, and leave nothing to be set aside."""
    return kind == UserErased.__name__


def _batches(deliveries: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    """As much as one call may hold."""
    batch: list[Delivery] = []
    room = BATCH
    for delivery in deliveries:
        room -= delivery.events
        if batch and room < 0:
            yield batch
            batch, room = [], BATCH - delivery.events
        batch.append(delivery)
    if batch:
        yield batch


def commands_of(keys: Keys, envelope: Envelope, projections: Sequence[Projection]) -> list[Command]:
    """What an event does to a generation. Raises whatever a projection stumbles over."""
    if envelope.skipped:
        return []
    happened = ProjectedEvent(
        user=str(envelope.user_id),
        version=envelope.version,
        at=to_rfc3339_millis(envelope.occurred_at),
        event=envelope.event(),
    )
    return [command for project in projections for command in project(keys, happened)]
