"""Whatever the stream does to the histories of some users, the read model ends as if all came in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.runtime import drivers
from api.settings import Settings
from domain.envelope import Envelope
from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserEvent,
    UserRenamed,
)
from readside.applier import Delivery, EventApplier
from readside.generations.registry import Generations
from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import Keys, Partition
from readside.redis_functions.stream import RedisStream
from tests.readside.contents import contents
from tests.readside.envelopes import order, story, user_in
from tests.readside.harness import with_projections
from tests.readside.memory_log import Log, relay
from tests.readside.sums_of_users import revenue_per_month, users_per_domain

if TYPE_CHECKING:
    from redis.asyncio import Redis

WITH_SUMS = with_projections(users_per_domain, revenue_per_month)
EVENTS: st.SearchStrategy[UserEvent] = st.one_of(
    st.builds(UserRenamed, name=st.sampled_from(["A", "B"])),
    st.integers(1, 3).map(lambda n: UserEmailUpdated(email=f"{n}@{n}.example")),
    st.integers(1, 3).map(lambda n: OrderPlaced(order_id=order(n), total=n)),
    st.integers(1, 3).map(lambda n: OrderCompleted(order_id=order(n), total=n)),
    st.integers(1, 3).map(lambda n: OrderCancelled(order_id=order(n))),
)


@st.composite
def histories(draw: st.DrawFn) -> list[list[Envelope]]:
    """The lives of up to three users of one partition; some end in erasure."""
    lives = []
    for number in range(draw(st.integers(1, 3))):
        created = UserCreated(name="New", email=f"{number}@example.com")
        middle = draw(st.lists(EVENTS, max_size=6))
        end = [UserErased()] if draw(st.booleans()) else []
        lives.append(story(user_in(0, number), created, *middle, *end))
    return lives


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[list[Envelope]], list[list[Envelope]]]:
    """Histories, and batches in which they arrive: shuffled, with duplicates, and some never.

    The last event of each user does arrive: nothing else would reveal those before it.
    """
    lives = draw(histories())
    some = [one for life in lives for one in life if draw(st.booleans())]
    again = [one for one in some if draw(st.booleans())]
    arriving = draw(st.permutations([*some, *again, *(life[-1] for life in lives)]))
    cuts = sorted(draw(st.lists(st.integers(0, len(arriving)), max_size=4)))
    edges = zip([0, *cuts], [*cuts, len(arriving)], strict=True)
    return lives, [list(arriving[start:end]) for start, end in edges]


@given(deliveries())
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_order_with_duplicates_and_losses_ends_as_in_order_delivery(
    redis_url: str, delivered: tuple[list[list[Envelope]], list[list[Envelope]]]
) -> None:
    lives, batches = delivered
    asyncio.run(_compare(Settings(redis_url=redis_url, partitions=1), lives, batches))


async def _compare(
    settings: Settings, lives: list[list[Envelope]], batches: list[list[Envelope]]
) -> None:
    log = Log()
    for life in lives:
        log.commit(life)
    async with drivers.redis_for_functions(settings) as redis:
        await redis.flushall()
        await relay(log, RedisStream(redis))
        expected = await _ends_in(redis, log, lives)
        assert await _ends_in(redis, log, batches) == expected


async def _ends_in(redis: Redis, log: Log, batches: list[list[Envelope]]) -> dict[str, Any]:
    """What a new generation holds after these batches."""
    keys = await Generations(redis, Partition(0), "any").create("projector")
    assert keys is not None
    gate = EventApplier(Functions(redis), log, keys, WITH_SUMS)
    for batch in batches:
        await gate.apply([Delivery(one) for one in batch], publish=True)
    assert isinstance(keys, Keys)
    return await contents(redis, keys)
