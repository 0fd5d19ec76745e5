"""Turns pages of the event log into deliveries for a rebuild; folds those of an aggregate into one write.

That is a third of the work for Redis. An aggregate whose events exceed a page, and events that cannot be
folded, are delivered event by event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from uuid import UUID

import msgspec

from domain.envelope import Envelope
from readside.applier import Delivery, commands_for
from readside.generations.fold import Fold
from readside.projection import Command, Projections
from readside.redis_functions.keys import Keys

_AGGREGATES_PER_TURN = 16
"""Aggregates that are folded before other tasks have a turn of the event loop."""


class Page(msgspec.Struct, frozen=True):
    """A page of the log, ready to apply."""

    position: int
    """Where the next page begins."""
    events: int
    deliveries: list[Delivery]


async def pages(
    keys: Keys, log: AsyncIterator[tuple[int, list[Envelope]]], projections: Projections
) -> AsyncIterator[Page]:
    """Yields pages. Raises the errors of reading the log."""
    async for position, envelopes in log:
        deliveries: list[Delivery] = []
        for number, history in enumerate(_by_aggregate(envelopes)):
            deliveries += _deliveries(keys, history, projections)
            if not number % _AGGREGATES_PER_TURN:
                await asyncio.sleep(0)
        yield Page(position, len(envelopes), deliveries)


def _by_aggregate(envelopes: Iterable[Envelope]) -> Iterable[list[Envelope]]:
    histories: dict[UUID, list[Envelope]] = {}
    for envelope in envelopes:
        histories.setdefault(envelope.aggregate_id, []).append(envelope)
    return histories.values()


def _deliveries(
    keys: Keys, history: Sequence[Envelope], projections: Projections
) -> Iterable[Delivery]:
    folded = _fold(keys, history, projections)
    return map(Delivery, history) if folded is None else [Delivery(history[-1], folded=folded)]


def _fold(
    keys: Keys, history: Sequence[Envelope], projections: Projections
) -> list[Command] | None:
    """Returns the folded commands; None if events are missing or cannot be folded.

    That is no error. But a command that fold.py does not know makes a rebuild three times as long.
    """
    if history[0].version != 1 or history[-1].version != len(history):
        return None
    fold = Fold()
    try:
        for envelope in history:
            fold.add(commands_for(keys, envelope, projections))
        return fold.commands()
    except Exception:  # whatever it is, applying the events one by one shows which of them failed
        return None
