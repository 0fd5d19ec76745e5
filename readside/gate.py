"""Through the version gate: envelopes become commands, and one function call applies them atomically.

What cannot be applied stops its user alone: a hole is filled from the event log, and an event that cannot be
decoded or projected parks its user. The gate inside Redis decides; here we only prepare and follow up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import structlog

from domain.events import Envelope, UserErased, UserId
from readside.functions import Functions
from readside.history import History
from readside.keys import Keys
from readside.moments import moment
from readside.projection import Command, Happened

APPLIED, DUPLICATE, PARKED, POISON = 1, 0, 2, 3
"""What the gate answers for an event; below zero it is a hole, -1 - the version the user has."""

FILLED = 4
"""An event that was missing, and came from the log: counted beside what it came to."""

BATCH = 250
"""The most events of one call, so that a call stops Redis for a few milliseconds at most."""

Project = Callable[[Keys, Happened], list[Command]]
Told = Callable[[Envelope], None]

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


class Gate:
    """The way into one generation of one partition. Raises Gone when that generation is no longer kept."""

    def __init__(
        self,
        functions: Functions,
        history: History,
        keys: Keys,
        projections: Sequence[Project],
        told: Told | None = None,
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

    async def deliver(self, deliveries: Sequence[Delivery], *, publish: bool) -> Counter[int]:
        """Applies envelopes in order, fills holes, acknowledges; answers how often which outcome came."""
        outcomes: Counter[int] = Counter()
        holes: list[Delivery] = []
        for batch in _batches(deliveries):
            for delivery, answer in zip(batch, await self._apply(batch, publish), strict=True):
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
        events = await self._history.history(user_id, 0)
        names = [self.keys.user(user_id), self.keys.parked]
        last = events[-1].version if events else 0
        if not events or not await self._functions.call("forget", names, str(user_id), last):
            return
        await self._replay(events, publish=True)
        await self._fill([Delivery(events[-1])], publish=True)  # parks whom the log has not whole
        _log.warning("gate.mended", user_id=str(user_id), events=len(events))

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
        """Applies what the log has behind the version `have`; a user it cannot take further is parked."""
        missing = await self._history.history(early.user_id, have)
        if not missing or missing[0].version != have + 1:
            await self._park(early, have + 1)
            return Counter()
        _log.info("gate.hole_filled", user_id=str(early.user_id), events=len(missing))
        return await self._replay(missing, publish) + Counter({FILLED: len(missing)})

    async def _replay(self, missing: list[Envelope], publish: bool) -> Counter[int]:
        """Events of one user, in as many calls as it takes; nobody is shown the user between two of them."""
        outcomes: Counter[int] = Counter()
        for start in range(0, len(missing), BATCH):
            page = missing[start : start + BATCH]
            deliveries = [Delivery(envelope, until=missing[-1].version) for envelope in page]
            outcomes.update(a for a in await self._apply(deliveries, publish) if a >= 0)
        return outcomes

    async def _park(self, envelope: Envelope, version: int) -> None:
        """The log does not have this version either."""
        reason = f"version {version} is missing from the event log"
        await self._call([self._item(Delivery(envelope), version, "", [], reason)])
        _log.error("gate.parked", user_id=str(envelope.user_id), reason=reason)

    async def _apply(self, deliveries: Sequence[Delivery], publish: bool) -> list[int]:
        answers = await self._call([self._prepare(delivery, publish) for delivery in deliveries])
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

    async def _call(self, items: list[msgspec.Raw]) -> list[int]:
        answers: list[int] = await self._functions.call(
            "apply", self._names, self.keys.generation, _pack(items)
        )
        return answers

    def _prepare(self, delivery: Delivery, publish: bool) -> msgspec.Raw:
        envelope = delivery.envelope
        channel = self.keys.partition.changed(envelope.user_id) if publish else ""
        try:
            commands = delivery.whole
            if commands is None:
                commands = commands_of(self.keys, envelope, self.projections)
            return self._item(delivery, envelope.version, channel, commands, "")
        except Exception as error:  # whatever a projection stumbles over is a poison event
            reason = f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode()
            return self._item(delivery, envelope.version, channel, [], reason)

    def _item(
        self,
        delivery: Delivery,
        version: int,
        channel: str,
        commands: list[Command],
        reason: str,
    ) -> msgspec.Raw:
        """Packed one by one, so that what cannot be packed is the poison of one event only."""
        user = str(delivery.envelope.user_id)
        kind = delivery.envelope.type
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


def commands_of(keys: Keys, envelope: Envelope, projections: Sequence[Project]) -> list[Command]:
    """What an event does to a generation. Raises whatever a projection stumbles over."""
    if envelope.skipped:
        return []
    happened = Happened(
        user=str(envelope.user_id),
        version=envelope.version,
        at=moment(envelope.occurred_at),
        event=envelope.event(),
    )
    return [command for project in projections for command in project(keys, happened)]
