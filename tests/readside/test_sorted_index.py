"""Sorted indexes by numbers: exact, in order, and the same on every way to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from domain.users.events import OrderCompleted, OrderPlaced, UserCreated, UserErased, UserRenamed
from readside.applier import EventApplier
from readside.generations.replay import pages
from readside.queries.id_lists import IdList
from readside.queries.page_request import PageRequest
from readside.redis_functions.functions import Functions
from readside.sorted_index import NumberIndex, number_key
from tests.readside.contents import contents
from tests.readside.envelopes import order, user_in
from tests.readside.harness import with_projections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from domain.envelope import Envelope
    from readside.projection import Command, ProjectedEvent
    from readside.redis_functions.keys import Keys
    from tests.readside.projection_harness import ProjectionHarness

INDEX, LIST = NumberIndex("numbers"), IdList("numbers", ascending=True)
MAX = 2**63 - 1
NUMBERS = [
    -MAX,
    -MAX + 1,
    -(2**53) - 1,
    -(2**53),
    -10,
    -9,
    -1,
    0,
    1,
    9,
    10,
    2**53,
    2**53 + 1,
    MAX - 1,
    MAX,
]


def by_number(keys: Keys, event: ProjectedEvent[Any]) -> list[Command]:
    """A name is a number, which an erasure blanks; a renaming adds to it."""
    match event.data:
        case UserCreated(name=name):
            return [INDEX.put(keys, event, int(name or 0))]
        case UserRenamed(name=name):
            return [INDEX.add(keys, event, int(name or 0))]
        case UserErased():
            return [INDEX.remove(keys, event)]
        case _:
            return []


PROJECTIONS = with_projections(by_number)


@pytest.fixture
async def numbers(harness: ProjectionHarness) -> ProjectionHarness:
    await harness.begin(PROJECTIONS)
    return harness


def created(number: int) -> UserCreated:
    return UserCreated(name=str(number), email=f"{number}@example.com")


async def test_numbers_of_63_bits_are_in_order(numbers: ProjectionHarness) -> None:
    users = {number: user_in(at % 2, 20 - at) for at, number in enumerate(NUMBERS)}
    for number in reversed(NUMBERS):
        await numbers.given(created(number), user=users[number])
    assert list((await LIST.page(numbers.reads, PageRequest(99))).ids) == [
        str(users[number]) for number in NUMBERS
    ]
    above = await LIST.page(numbers.reads, PageRequest(99, number_key(1)))
    assert list(above.ids) == [str(users[number]) for number in NUMBERS if number > 0]


@pytest.mark.parametrize(
    ("start", "amounts"),
    [(MAX - 5, [3, 2]), (0, [-5, 5, 7]), (-3, [1, 1, 1]), (2**53, [1, 1]), (-MAX, [-1])],
)
async def test_amounts_are_added_exactly(
    numbers: ProjectionHarness, start: int, amounts: list[int]
) -> None:
    alice = await numbers.given(created(start), *(UserRenamed(name=str(n)) for n in amounts))
    found = await contents(numbers.redis, numbers.keys_of(alice))
    total = start + sum(amounts)
    assert found["numbers-of"] == {str(alice): str(total)}
    [(member, _)] = found["numbers"]
    assert member.endswith(f"\t{alice}")
    if total >= 0:
        assert member == f"{number_key(total)}\t{alice}"


@pytest.mark.parametrize(
    ("first", "second"), [(MAX, "1"), (-MAX, "-2"), (0, str(2**63)), (0, "1.5")]
)
async def test_a_sum_of_more_bits_parks_the_user_where_it_was(
    numbers: ProjectionHarness, first: int, second: str
) -> None:
    alice = await numbers.given(created(first))
    before = await contents(numbers.redis, numbers.keys_of(alice))
    await numbers.given(UserRenamed(name=second), user=alice)
    after = await contents(numbers.redis, numbers.keys_of(alice))
    assert str(alice) in after["parked"]
    assert [after[name] for name in ("numbers", "numbers-of")] == [
        before[name] for name in ("numbers", "numbers-of")
    ]


async def test_a_number_of_more_bits_cannot_be_put(numbers: ProjectionHarness) -> None:
    alice = await numbers.given(created(2**63))
    reason: Any = await numbers.redis.hget(numbers.keys_of(alice).parked, str(alice))
    assert "more than 63 bits" in msgspec.json.decode(reason)["reason"]


async def test_an_erased_user_is_removed(numbers: ProjectionHarness) -> None:
    alice = await numbers.given(created(7), UserErased())
    keys = numbers.keys_of(alice)
    assert (
        await numbers.redis.exists(keys.shared_key("numbers"), keys.shared_key("numbers-of")) == 0
    )


async def test_a_rebuild_and_a_resync_end_as_event_by_event(numbers: ProjectionHarness) -> None:
    users = [user_in(0, number) for number in range(4)]
    for number, user in enumerate(users):
        amounts = (UserRenamed(name=str(amount)) for amount in (2**60, -3, 5))
        bought = OrderPlaced(order_id=order(number), total=3)
        completed = OrderCompleted(order_id=order(number), total=3)
        await numbers.given(created(number - 2), *amounts, bought, completed, user=user)
    await numbers.given(UserErased(), user=users[3])
    by_event = await contents(numbers.redis, numbers.keys_of(users[0]))
    assert by_event["numbers-of"] == {str(users[n]): str(2**60 + n) for n in range(3)}
    assert by_event["lifetime-values"] == [(f"{number_key(3)}\t{users[n]}", 0.0) for n in range(3)]
    for user in users:
        await numbers.applier_for(user).resync_aggregate(user)
    resynced = await contents(numbers.redis, numbers.keys_of(users[0]))
    keys = await numbers.generations(0).create("projector")
    assert keys is not None
    built = EventApplier(Functions(numbers.redis), numbers.log, keys, PROJECTIONS)

    async def log() -> AsyncIterator[tuple[int, list[Envelope]]]:
        yield 1, numbers.log.committed[0]

    async for page in pages(keys, log(), PROJECTIONS):
        assert all(delivery.folded is not None for delivery in page.deliveries)
        await built.apply(page.deliveries, publish=False)
    folded = await contents(numbers.redis, keys)
    assert folded["counters"] == by_event["counters"]
    for other in (folded, resynced):
        assert {**other, "counters": 0} == {**by_event, "counters": 0}
