"""Decisions in the domain's language: given what happened, when this is asked, then that happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from domain.command import Command
from domain.event import DomainEvent
from domain.refusal import Refusal
from domain.users.aggregate import USER
from domain.users.events import OrderId, UserEvent, UserId
from domain.users.state import User

ALICE = UserId(UUID("019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f"))
ORDER = OrderId(UUID("019b0c9e-7d4e-7ccc-8a51-0a6f3c1d2e50"))
OTHER_ORDER = OrderId(UUID("019b0c9e-7d4e-7ddd-8a51-0a6f3c1d2e51"))
START = datetime(2026, 1, 1, tzinfo=UTC)


class Decided(msgspec.Struct, frozen=True):
    """What a command was answered."""

    answer: tuple[DomainEvent, ...] | Refusal

    def then(self, *events: UserEvent) -> None:
        assert self.answer == events

    def refused(self, refusal: Refusal) -> None:
        assert self.answer == refusal

    def quiet(self) -> None:
        """The command succeeds, and nothing happens."""
        assert self.answer == ()


class Given(msgspec.Struct, frozen=True):
    """A user with a history."""

    user: User

    def when(self, command: Command) -> Decided:
        decision = command.decide(self.user)
        return Decided(decision if isinstance(decision, Refusal) else tuple(decision))


def given(*events: UserEvent) -> Given:
    """Alice after these events, one a day."""
    user = User(id=ALICE)
    for day, event in enumerate(events):
        user = USER.after(user, event, START + timedelta(days=day))
    return Given(user)
