"""The users by lifetime value, and those of them who are customers."""

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
from readside.projections import users_by_lifetime_value
from tests.readside.envelopes import located, order, user_in
from tests.readside.projection_harness import ProjectionHarness

LARGE = 2**62


def ranked(found: dict[str, int]) -> list[tuple[str, int]]:
    """With their order, which dicts do not compare."""
    return list(found.items())


async def buys(harness: ProjectionHarness, user: UserId, *totals: int) -> UserId:
    """A new user who completes orders of these totals."""
    await harness.given(UserCreated(name="Buyer", email=f"{user}@example.com"), user=user)
    for number, total in enumerate(totals):
        placed = OrderPlaced(order_id=order(number), total=total)
        await harness.given(placed, OrderCompleted(order_id=order(number), total=total), user=user)
    return user


async def test_the_highest_total_of_completed_orders_comes_first(
    harness: ProjectionHarness,
) -> None:
    small = await buys(harness, user_in(0, 0), 100)
    large = await buys(harness, user_in(1, 0), 60, 60)
    largest = await buys(harness, user_in(0, 1), 500)
    assert ranked(await users_by_lifetime_value.top(harness.reads, 10)) == ranked(
        located(largest, large, small)
    )


async def test_no_more_customers_than_requested_are_returned(harness: ProjectionHarness) -> None:
    for number in range(6):
        await buys(harness, user_in(number % 2, number // 2), 10 + number)
    assert ranked(await users_by_lifetime_value.top(harness.reads, 2)) == ranked(
        located(user_in(1, 2), user_in(0, 2))
    )
    assert await users_by_lifetime_value.top(harness.reads, 0) == {}


async def test_of_two_with_the_same_value_the_younger_comes_first(
    harness: ProjectionHarness,
) -> None:
    same = sorted([await buys(harness, user_in(p, n), 7) for p in (0, 1) for n in (0, 1)])
    assert ranked(await users_by_lifetime_value.top(harness.reads, 10)) == ranked(
        located(*same[::-1])
    )
    assert ranked(await users_by_lifetime_value.top(harness.reads, 3)) == ranked(
        located(*same[:0:-1])
    )


async def test_a_user_without_completed_orders_is_no_customer(harness: ProjectionHarness) -> None:
    alice = await buys(harness, user_in(0))
    await harness.given(OrderPlaced(order_id=order(1), total=9), user=alice)
    await harness.given(OrderCancelled(order_id=order(1)), user=alice)
    assert await users_by_lifetime_value.top(harness.reads, 10) == {}


async def test_an_erased_customer_is_none(harness: ProjectionHarness) -> None:
    alice, bob = await buys(harness, user_in(0), 9), await buys(harness, user_in(1), 1)
    await harness.given(UserErased(), user=alice)
    assert ranked(await users_by_lifetime_value.top(harness.reads, 10)) == ranked(located(bob))


async def test_values_are_exact_beyond_what_a_double_is(harness: ProjectionHarness) -> None:
    rich = await buys(harness, user_in(0), LARGE - 1)
    richest = await buys(harness, user_in(1), LARGE)
    assert ranked(await users_by_lifetime_value.top(harness.reads, 2)) == ranked(
        located(richest, rich)
    )


async def test_a_refilled_customer_is_worth_no_more_than_before(harness: ProjectionHarness) -> None:
    alice, bob = await buys(harness, user_in(0), 9), await buys(harness, user_in(1), 10)
    await harness.redis.delete(harness.keys_of(alice).document("user", alice))
    await harness.given(UserRenamed(name="Alicia"), user=alice)
    assert ranked(await users_by_lifetime_value.top(harness.reads, 10)) == ranked(
        located(bob, alice)
    )
