"""A user whose hash was lost is projected anew from its first event: no projection may count it twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.users.events import (
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserRenamed,
)
from readside.applier import Delivery
from tests.readside.contents import contents
from tests.readside.envelopes import order

if TYPE_CHECKING:
    from tests.readside.projection_harness import Told


async def test_a_replay_of_a_user_changes_nothing(told: Told) -> None:
    alice = await told.given(
        UserCreated(name="A", email="a@example.com"),
        UserEmailUpdated(email="b@example.org"),
        OrderPlaced(order_id=order(1), total=5),
        OrderCompleted(order_id=order(1), total=5),
        UserRenamed(name="B"),
    )
    keys = told.keys_of(alice)
    before = await contents(told.redis, keys)
    await told.redis.delete(keys.user_hash(alice))
    last = (await told.log.history(alice, 0))[-1]
    await told.gate_of(alice).apply([Delivery(last)], publish=False)
    after = await contents(told.redis, keys)
    assert after | {"counters": None} == before | {"counters": None}
