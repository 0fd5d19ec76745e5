"""From the log to what goes through the gate in a rebuild: a user whose life is in hand comes in one write.

That is a third of the work for Redis. What is left of a life that is too long for a page, and what cannot be
folded, comes event by event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

from domain.envelope import Envelope
from domain.users.events import UserId
from readside.applier import Delivery, commands_for
from readside.generations.fold import Fold
from readside.projection import Command, Projection
from readside.redis_functions.keys import Keys

_AT_A_STRETCH = 16
"""Lives that are worked out before others have a turn."""


class Page(msgspec.Struct, frozen=True):
    """A page of the log, ready for the gate."""

    position: int
    """From where to go on behind it."""
    events: int
    deliveries: list[Delivery]


async def pages(
    keys: Keys, log: AsyncIterator[tuple[int, list[Envelope]]], projections: Sequence[Projection]
) -> AsyncIterator[Page]:
    """Raises what reading the log raises."""
    async for position, events in log:
        deliveries: list[Delivery] = []
        for number, life in enumerate(_lives(events)):
            deliveries += _deliveries(keys, life, projections)
            if not number % _AT_A_STRETCH:
                await asyncio.sleep(0)  # whoever asks this process for something has a turn
        yield Page(position, len(events), deliveries)


def _lives(events: Iterable[Envelope]) -> Iterable[list[Envelope]]:
    """Each user's events, in their order."""
    lives: dict[UserId, list[Envelope]] = {}
    for envelope in events:
        lives.setdefault(envelope.user_id, []).append(envelope)
    return lives.values()


def _deliveries(
    keys: Keys, life: Sequence[Envelope], projections: Sequence[Projection]
) -> Iterable[Delivery]:
    whole = _whole(keys, life, projections)
    return map(Delivery, life) if whole is None else [Delivery(life[-1], folded=whole)]


def _whole(
    keys: Keys, life: Sequence[Envelope], projections: Sequence[Projection]
) -> list[Command] | None:
    """What its events come to together; None if it is not all there, or if an event needs a look of its own.

    That is no error. But a verb that fold.py does not know makes a rebuild three times as long.
    """
    if life[0].version != 1 or life[-1].version != len(life):
        return None
    fold = Fold()
    try:
        for envelope in life:
            fold.add(commands_for(keys, envelope, projections))
        return fold.commands()
    except Exception:  # whatever it stumbles over, the gate will say of which event
        return None
