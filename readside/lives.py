"""From the log to what goes through the gate in a rebuild: a user whose life is in hand comes in one write.

That is a third of the work for Redis. What is left of a life that is too long for a page, and what cannot be
folded, comes event by event.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

import msgspec

from domain.events import Envelope, UserId
from readside.fold import Fold
from readside.gate import Delivery, Project, commands_of
from readside.keys import Keys
from readside.projection import Command


class Page(msgspec.Struct, frozen=True):
    """A page of the log, ready for the gate."""

    position: int
    """From where to go on behind it."""
    events: int
    deliveries: list[Delivery]


async def pages(
    keys: Keys, log: AsyncIterator[tuple[int, list[Envelope]]], projections: Sequence[Project]
) -> AsyncIterator[Page]:
    """Raises what reading the log raises."""
    async for position, events in log:
        yield Page(position, len(events), list(_deliveries(keys, events, projections)))


def _deliveries(
    keys: Keys, events: Iterable[Envelope], projections: Sequence[Project]
) -> Iterator[Delivery]:
    """Each user's events in their order."""
    lives: dict[UserId, list[Envelope]] = {}
    for envelope in events:
        lives.setdefault(envelope.user_id, []).append(envelope)
    for life in lives.values():
        if (whole := _whole(keys, life, projections)) is None:
            yield from map(Delivery, life)
        else:
            yield Delivery(life[-1], whole=whole)


def _whole(
    keys: Keys, life: Sequence[Envelope], projections: Sequence[Project]
) -> list[Command] | None:
    """What its events come to together; None if it is not all there, or if an event needs a look of its own.

    That is no error. But a verb that fold.py does not know makes a rebuild three times as long.
    """
    if life[0].version != 1 or life[-1].version != len(life):
        return None
    fold = Fold()
    try:
        for envelope in life:
            fold.add(commands_of(keys, envelope, projections))
        return fold.commands()
    except Exception:  # whatever it stumbles over, the gate will say of which event
        return None
