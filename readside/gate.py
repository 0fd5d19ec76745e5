"""Through the version gate: envelopes become commands, and one function call applies them atomically.

What cannot be applied stops its user alone: a hole is filled from the event log, and an event that cannot be
decoded or projected parks its user. The gate inside Redis decides; here we only prepare and follow up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import structlog

from domain.events import Envelope, UserId
from readside.functions import Functions
from readside.history import History
from readside.keys import Keys
from readside.projection import Command, Happened

APPLIED, DUPLICATE, PARKED, POISON = 1, 0, 2, 3
"""What the gate answers for an event; below zero it is a hole, -1 - the version the user has."""

BATCH = 250
"""The most events of one call, so that a call stops Redis for a few milliseconds at most."""

Project = Callable[[Keys, Happened], list[Command]]

_log = structlog.get_logger(__name__)
_pack = msgspec.msgpack.Encoder().encode


class Delivery(msgspec.Struct, frozen=True):
    """An envelope, and the stream entry that brought it ('' if it came from the event log)."""

    envelope: Envelope
    entry: str = ""


class Gate:
    """The way into one generation of one partition. Raises Gone when that generation is no longer kept."""

    def __init__(
        self, functions: Functions, history: History, keys: Keys, projections: Sequence[Project]
    ) -> None:
        self.keys = keys
        self._functions = functions
        self._history = history
        self._projections = projections
        partition = keys.partition
        self._names = [partition.stream, partition.generations, keys.parked, keys.counters]

    async def deliver(self, deliveries: Sequence[Delivery], *, publish: bool) -> Counter[int]:
        """Applies envelopes in order, fills holes, acknowledges; answers how often which outcome came."""
        outcomes: Counter[int] = Counter()
        holes: list[Delivery] = []
        for start in range(0, len(deliveries), BATCH):
            batch = deliveries[start : start + BATCH]
            for delivery, answer in zip(batch, await self._apply(batch, publish), strict=True):
                if answer < 0:
                    holes.append(delivery)
                else:
                    outcomes[answer] += 1
        if holes:
            outcomes += await self._fill(holes, publish)
        return outcomes

    async def _fill(self, holes: list[Delivery], publish: bool) -> Counter[int]:
        """Events that are not in the stream are in the log: apply those, then what came too early."""
        outcomes: Counter[int] = Counter()
        for user_id in dict.fromkeys(hole.envelope.user_id for hole in holes):
            early = [hole for hole in holes if hole.envelope.user_id == user_id]
            [answer] = await self._apply(early[:1], publish)
            missing = await self._history.history(user_id, -1 - answer) if answer < 0 else []
            for start in range(0, len(missing), BATCH):
                page = [Delivery(envelope) for envelope in missing[start : start + BATCH]]
                outcomes.update(a for a in await self._apply(page, publish) if a >= 0)
            answers = await self._apply(early, publish)
            if answers[0] < 0:
                await self._park(early[0].envelope, -answers[0])
                answers = await self._apply(early, publish)
            outcomes.update(answers)
            _log.info("gate.hole_filled", user_id=str(user_id), events=len(missing))
        return outcomes

    async def _park(self, envelope: Envelope, version: int) -> None:
        """The log does not have this version either."""
        reason = f"version {version} is missing from the event log"
        item = self._item(Delivery(envelope), version, "", [], reason)
        await self._call([item])
        _log.error("gate.parked", user_id=str(envelope.user_id), reason=reason)

    async def _apply(self, deliveries: Sequence[Delivery], publish: bool) -> list[int]:
        answers = await self._call([self._prepare(delivery, publish) for delivery in deliveries])
        for delivery, answer in zip(deliveries, answers, strict=True):
            if answer == POISON:
                envelope = delivery.envelope
                _log.error(
                    "gate.parked",
                    user_id=str(envelope.user_id),
                    version=envelope.version,
                    type=envelope.type,
                )
        return answers

    async def _call(self, items: list[tuple[object, ...]]) -> list[int]:
        answers: list[int] = await self._functions.call(
            "apply", self._names, self.keys.generation, _pack(items)
        )
        return answers

    def _prepare(self, delivery: Delivery, publish: bool) -> tuple[object, ...]:
        envelope = delivery.envelope
        channel = self.keys.partition.changed(envelope.user_id) if publish else ""
        try:
            commands, reason = self._commands(envelope), ""
        except Exception as error:  # whatever a projection stumbles over is a poison event
            commands, reason = [], f"{type(error).__name__}: {error}"
        return self._item(delivery, envelope.version, channel, commands, reason)

    def _item(
        self,
        delivery: Delivery,
        version: int,
        channel: str,
        commands: list[Command],
        reason: str,
    ) -> tuple[object, ...]:
        user = delivery.envelope.user_id
        kind = delivery.envelope.type
        key = self.keys.user(user)
        return delivery.entry, (str(user), key, version, kind, channel, commands, reason)

    def _commands(self, envelope: Envelope) -> list[Command]:
        happened = Happened(
            user_id=UserId(envelope.user_id),
            version=envelope.version,
            at=envelope.occurred_at,
            event=envelope.event(),
        )
        return [
            command for project in self._projections for command in project(self.keys, happened)
        ]
