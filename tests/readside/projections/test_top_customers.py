"""The customers by lifetime value."""

from __future__ import annotations

from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserErased,
    UserId,
    UserRenamed,
)
from readside.projections import top_customers
from tests.readside.envelopes import located, order, user_in
from tests.readside.projection_harness import Told

LARGE = 2**53 - 1


def ranked(found: dict[str, int]) -> list[tuple[str, int]]:
    """With their order, which dicts do not compare."""
    return list(found.items())


async def buys(told: Told, user: UserId, *totals: int) -> UserId:
    """A new user who completes orders of these totals."""
    await told.given(UserCreated(name="Buyer", email=f"{user}@example.com"), user=user)
    for number, total in enumerate(totals):
        placed = OrderPlaced(order_id=order(number), total=total)
        await told.given(placed, OrderCompleted(order_id=order(number), total=total), user=user)
    return user


async def test_the_highest_total_of_completed_orders_comes_first(told: Told) -> None:
    small = await buys(told, user_in(0, 0), 100)
    large = await buys(told, user_in(1, 0), 60, 60)
    largest = await buys(told, user_in(0, 1), 500)
    assert ranked(await top_customers.top(told.reads, 10)) == ranked(located(largest, large, small))


async def test_no_more_customers_than_requested_are_returned(told: Told) -> None:
    for number in range(6):
        await buys(told, user_in(number % 2, number // 2), 10 + number)
    assert ranked(await top_customers.top(told.reads, 2)) == ranked(
        located(user_in(1, 2), user_in(0, 2))
    )
    assert await top_customers.top(told.reads, 0) == {}


async def test_of_two_with_the_same_value_the_younger_comes_first(told: Told) -> None:
    same = sorted([await buys(told, user_in(p, n), 7) for p in (0, 1) for n in (0, 1)])
    assert ranked(await top_customers.top(told.reads, 10)) == ranked(located(*same[::-1]))
    assert ranked(await top_customers.top(told.reads, 3)) == ranked(located(*same[:0:-1]))


async def test_a_user_without_completed_orders_is_no_customer(told: Told) -> None:
    alice = await buys(told, user_in(0))
    await told.given(OrderPlaced(order_id=order(1), total=9), user=alice)
    await told.given(OrderCancelled(order_id=order(1)), user=alice)
    assert await top_customers.top(told.reads, 10) == {}


async def test_an_erased_customer_is_none(told: Told) -> None:
    alice, bob = await buys(told, user_in(0), 9), await buys(told, user_in(1), 1)
    await told.given(UserErased(), user=alice)
    assert ranked(await top_customers.top(told.reads, 10)) == ranked(located(bob))


async def test_values_are_exact_up_to_nine_thousand_billion(told: Told) -> None:
    rich = await buys(told, user_in(0), LARGE - 1)
    richest = await buys(told, user_in(1), LARGE)
    assert ranked(await top_customers.top(told.reads, 2)) == ranked(located(richest, rich))


async def test_a_refilled_customer_is_worth_no_more_than_before(told: Told) -> None:
    alice, bob = await buys(told, user_in(0), 9), await buys(told, user_in(1), 10)
    await told.redis.delete(told.keys_of(alice).user_hash(alice))
    await told.given(UserRenamed(name="Alicia"), user=alice)
    assert ranked(await top_customers.top(told.reads, 10)) == ranked(located(bob, alice))
