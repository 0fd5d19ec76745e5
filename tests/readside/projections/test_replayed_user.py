"""A user whose hash was lost is replayed from its first event: no projection counts it twice."""

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
    from tests.readside.projection_harness import ProjectionHarness


async def test_a_replay_of_a_user_changes_nothing(harness: ProjectionHarness) -> None:
    alice = await harness.given(
        UserCreated(name="A", email="a@example.com"),
        UserEmailUpdated(email="b@example.org"),
        OrderPlaced(order_id=order(1), total=5),
        OrderCompleted(order_id=order(1), total=5),
        UserRenamed(name="B"),
    )
    keys = harness.keys_of(alice)
    before = await contents(harness.redis, keys)
    await harness.redis.delete(keys.document("user", alice))
    last = (await harness.log.history(alice, 0))[-1]
    await harness.applier_for(alice).apply([Delivery(last)], publish=False)
    after = await contents(harness.redis, keys)
    assert after | {"counters": None} == before | {"counters": None}
