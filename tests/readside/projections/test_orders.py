"""The orders of a user, newest first, in pages."""

from __future__ import annotations

import pytest

from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserErased,
    UserId,
    UserRenamed,
)
from readside.errors import ReadModelRebuilding
from readside.projections import orders
from readside.projections.orders import OrderRow
from readside.queries.page_request import PageRequest
from tests.readside.envelopes import moment_of, order, user_in
from tests.readside.projection_harness import ProjectionHarness

ALICE = UserCreated(name="Alice", email="alice@example.com")


def placed(number: int) -> OrderPlaced:
    return OrderPlaced(order_id=order(number), total=100 * number)


async def sequences(
    harness: ProjectionHarness, user: UserId, first: int, after: int | None = None
) -> list[int]:
    page = await orders.page(harness.reads, user, PageRequest(first, after))
    return [row.sequence for row in page.rows]


async def test_a_placed_order_is_open_and_sits_at_the_version_of_its_user(
    harness: ProjectionHarness,
) -> None:
    alice = await harness.given(ALICE, placed(1))
    page = await orders.page(harness.reads, alice, PageRequest(10))
    assert page.rows == [
        OrderRow(
            id=str(order(1)),
            status="OPEN",
            total=100,
            placed_at=moment_of(2),
            completed_at=None,
            sequence=2,
        )
    ]
    assert not page.has_more


async def test_a_completed_order_has_its_time(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE, placed(1), OrderCompleted(order_id=order(1), total=100))
    [row] = (await orders.page(harness.reads, alice, PageRequest(10))).rows
    assert (row.status, row.placed_at, row.completed_at) == (
        "COMPLETED",
        moment_of(2),
        moment_of(3),
    )


async def test_a_cancelled_order_was_never_completed(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE, placed(1), OrderCancelled(order_id=order(1)))
    [row] = (await orders.page(harness.reads, alice, PageRequest(10))).rows
    assert (row.status, row.completed_at) == ("CANCELLED", None)


async def test_the_newest_order_comes_first_also_when_an_older_one_is_closed(
    harness: ProjectionHarness,
) -> None:
    closed = OrderCompleted(order_id=order(1), total=100)
    alice = await harness.given(
        ALICE, placed(1), placed(2), UserRenamed(name="A"), placed(3), closed
    )
    assert await sequences(harness, alice, 10) == [5, 3, 2]
    assert await orders.count(harness.reads, alice) == 3


async def test_pages_of_any_size_hold_every_order_once(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE, *(placed(number) for number in range(1, 8)))
    for size in (1, 2, 3, 7, 9):
        seen: list[int] = []
        more = True
        while more:
            page = await orders.page(
                harness.reads, alice, PageRequest(size, seen[-1] if seen else None)
            )
            seen += [row.sequence for row in page.rows]
            more = page.has_more
        assert seen == [8, 7, 6, 5, 4, 3, 2]


async def test_backward_pages_of_any_size_hold_every_order_once(
    harness: ProjectionHarness,
) -> None:
    alice = await harness.given(ALICE, *(placed(number) for number in range(1, 8)))
    for size in (1, 2, 3, 7, 9):
        seen: list[int] = []
        more = True
        while more:
            before = seen[0] if seen else None
            page = await orders.page(
                harness.reads, alice, PageRequest(size, None, before, backward=True)
            )
            seen = [row.sequence for row in page.rows] + seen
            more = page.has_more
        assert seen == [8, 7, 6, 5, 4, 3, 2]


async def test_a_page_between_two_orders_has_neither(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE, *(placed(number) for number in range(1, 8)))
    for backward in (False, True):
        request = PageRequest(9, after=7, before=3, backward=backward)
        page = await orders.page(harness.reads, alice, request)
        assert [row.sequence for row in page.rows] == [6, 5, 4]


async def test_after_the_oldest_order_is_nothing(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE, placed(1))
    assert await sequences(harness, alice, 10, after=2) == []


async def test_a_user_without_orders_has_an_empty_page(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE)
    assert await sequences(harness, alice, 10) == []
    assert await orders.count(harness.reads, alice) == 0


async def test_users_do_not_see_each_others_orders(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE, placed(1))
    bob = await harness.given(
        UserCreated(name="Bob", email="b@example.com"), placed(2), user=user_in(0, 1)
    )
    assert [row.id for row in (await orders.page(harness.reads, alice, PageRequest(9))).rows] == [
        str(order(1))
    ]
    assert [row.id for row in (await orders.page(harness.reads, bob, PageRequest(9))).rows] == [
        str(order(2))
    ]


async def test_the_orders_of_an_erased_user_are_removed(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE, placed(1), placed(2), UserErased())
    assert await sequences(harness, alice, 10) == []
    keys = harness.keys_of(alice)
    assert (
        await harness.redis.exists(keys.owned_key("orders", alice), keys.owned_key("closed", alice))
        == 0
    )


async def found(harness: ProjectionHarness, *numbers: int) -> list[str]:
    rows = await orders.find(harness.reads, [order(number) for number in numbers])
    return [row.id for row in rows]


async def test_orders_are_found_by_their_ids_in_all_partitions(harness: ProjectionHarness) -> None:
    closed = OrderCompleted(order_id=order(2), total=200)
    alice = await harness.given(ALICE, placed(1), placed(2), closed)
    bob = UserCreated(name="Bob", email="b@example.com")
    await harness.given(bob, placed(3), user=user_in(1))
    assert await found(harness, 3, 9, 1) == [str(order(3)), str(order(1))]
    [row] = await orders.find(harness.reads, [order(2)])
    assert [row] == (await orders.page(harness.reads, alice, PageRequest(1))).rows
    assert row.status == "COMPLETED"


async def test_an_order_of_an_erased_user_is_not_found_and_its_entry_is_removed(
    harness: ProjectionHarness,
) -> None:
    alice = await harness.given(ALICE, placed(1), placed(2), UserErased())
    bob = UserCreated(name="Bob", email="b@example.com")
    await harness.given(bob, placed(3), user=user_in(0, 1))
    assert await found(harness, 1, 2, 3) == [str(order(3))]
    keys = harness.keys_of(alice)
    assert await harness.redis.zrange(keys.shared_key("orders-by-id"), 0, -1) == [
        f"{order(3)} 2 {user_in(0, 1)}"
    ]


async def test_an_order_that_an_incomplete_index_does_not_have_may_exist(
    harness: ProjectionHarness,
) -> None:
    alice = await harness.given(ALICE, placed(1))
    await harness.redis.delete(harness.keys_of(alice).shared_key("orders-by-id"))
    with pytest.raises(ReadModelRebuilding):
        await found(harness, 1)
