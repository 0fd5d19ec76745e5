"""Whatever an event makes of a user, the next command finds it in the tables."""

from __future__ import annotations

import msgspec
import pytest

from domain.command import Decision
from domain.envelope import decode
from domain.users.commands import UserCommand
from domain.users.events import UserCreated, UserEvent
from domain.users.state import User
from tests.domain.users.test_events import WRITTEN
from tests.domain.write_model import WriteModel

EVENTS = [decode("user", tag, schema, data.encode()) for tag, schema, data, _ in WRITTEN]

FOUND: list[User] = []
"""The users that Happens was decided on, the last one last."""


class Happens(UserCommand, frozen=True, kw_only=True):
    """A command that causes any events, and tells what it found."""

    events: tuple[UserEvent, ...]

    def decide(self, user: User) -> Decision:
        FOUND.append(msgspec.structs.replace(user, secret=None))  # which no event says
        return self.events


@pytest.mark.parametrize(
    "event", [e for e in EVENTS if "order_id" not in e.__struct_fields__], ids=repr
)
async def test_what_an_event_says_is_found_by_the_next_command(
    model: WriteModel, event: UserEvent
) -> None:
    user_id = await model.user()
    if not isinstance(event, UserCreated):
        await model.ask(Happens(user_id=user_id, events=(event,)))
    FOUND.clear()
    await model.ask(Happens(user_id=user_id, events=()))
    folded = await model.folded(user_id)
    assert [folded] == FOUND, "the rows keep too little of a User: LOAD, USER, user_in, to_write"
