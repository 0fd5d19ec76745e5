"""The events of all aggregates as they were ever written, and a command that causes any of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from domain.aggregate_contract import Aggregate, AggregateState
from domain.aggregates import AGGREGATES
from domain.command import ById, Command, Decision, Target
from domain.envelope import decode
from domain.event import DomainEvent
from domain.users.aggregate import USER
from tests.domain.users.test_events import WRITTEN

WRITTEN_EVENTS: dict[str, list[tuple[str, int, str, Any]]] = {USER.name: list(WRITTEN)}
"""By aggregate: type, schema version and JSON of every version of every event, and the event."""

ENDING = [aggregate for aggregate in AGGREGATES.values() if aggregate.ends_with]
"""The aggregates that can be erased."""

FOUND: list[AggregateState] = []
"""The states that Happens was decided on, the last one last."""


class Happens(Command, frozen=True, kw_only=True):
    """A command that causes any events, and records the state that it was decided on."""

    aggregate: Aggregate  # type: ignore[misc]  # of all commands of another class
    id: UUID
    events: tuple[DomainEvent, ...]

    @property
    def target(self) -> Target:
        return ById(self.id)

    def decide(self, state: AggregateState) -> Decision:
        FOUND.append(msgspec.structs.replace(state, secret=None))  # which no event contains
        return self.events


def before_the_end(aggregate: Aggregate) -> list[tuple[str, int, str, DomainEvent]]:
    """The events of an aggregate that do not end it, each as it is read today."""
    return [
        (tag, schema, data, decode(aggregate.name, tag, schema, data.encode()))
        for tag, schema, data, _ in WRITTEN_EVENTS[aggregate.name]
        if tag not in aggregate.final_types
    ]
