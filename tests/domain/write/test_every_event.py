"""The state that an event makes of a user is the state that the next command is decided on."""

from __future__ import annotations

import pytest

from domain.event import DomainEvent
from domain.users.aggregate import USER
from domain.users.events import UserCreated
from tests.domain.users.test_events import WRITTEN
from tests.domain.write_model import WriteModel
from tests.domain.written_events import FOUND, Happens


@pytest.mark.parametrize(
    "event", [e for *_, e in WRITTEN if "order_id" not in e.__struct_fields__], ids=repr
)
async def test_what_an_event_says_is_found_by_the_next_command(
    model: WriteModel, event: DomainEvent
) -> None:
    user_id = await model.user()
    if not isinstance(event, UserCreated):
        await model.ask(Happens(aggregate=USER, id=user_id, events=(event,)))
    FOUND.clear()
    await model.ask(Happens(aggregate=USER, id=user_id, events=()))
    folded = await model.folded(user_id)
    assert [folded] == FOUND, "the rows keep too little of the state"
