"""The user by id: given what happened, then this is known."""

from __future__ import annotations

from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserRenamed,
)
from readside.projections import users
from readside.projections.users import UserRow
from tests.limited import limited
from tests.readside.envelopes import located, moment_of, order, user_in
from tests.readside.projection_harness import ProjectionHarness

ALICE = UserCreated(name="Alice", email="alice@example.com")


async def test_a_created_user_has_all_fields(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE)
    assert await users.fetch(harness.reads, alice) == UserRow(
        id=str(alice),
        version=1,
        name="Alice",
        email="alice@example.com",
        created_at=moment_of(1),
        updated_at=moment_of(1),
        order_count=0,
        lifetime_value=0,
    )


async def test_a_user_that_never_existed_is_none(harness: ProjectionHarness) -> None:
    assert await users.fetch(harness.reads, user_in(0)) is None


async def test_a_renamed_user_has_the_new_name_and_keeps_the_address(
    harness: ProjectionHarness,
) -> None:
    alice = await harness.given(ALICE, UserRenamed(name="Alicia"))
    row = await users.fetch(harness.reads, alice)
    assert row is not None
    assert (row.name, row.email, row.version) == ("Alicia", "alice@example.com", 2)
    assert (row.created_at, row.updated_at) == (moment_of(1), moment_of(2))


async def test_a_user_with_a_new_address_keeps_the_name(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE, UserEmailUpdated(email="a@example.com"))
    row = await users.fetch(harness.reads, alice)
    assert row is not None
    assert (row.name, row.email, row.updated_at) == ("Alice", "a@example.com", moment_of(2))


async def test_names_keep_every_letter_they_have(harness: ProjectionHarness) -> None:
    alice = await harness.given(UserCreated(name='Zoë "☃" \n O\\Neil', email="z@example.com"))
    row = await users.fetch(harness.reads, alice)
    assert row is not None
    assert row.name == 'Zoë "☃" \n O\\Neil'


async def test_every_order_counts_and_only_completed_ones_are_worth_something(
    harness: ProjectionHarness,
) -> None:
    alice = await harness.given(
        ALICE,
        OrderPlaced(order_id=order(1), total=1250),
        OrderPlaced(order_id=order(2), total=99),
        OrderPlaced(order_id=order(3), total=1),
        OrderCompleted(order_id=order(1), total=1250),
        OrderCancelled(order_id=order(2)),
        OrderCompleted(order_id=order(3), total=1),
    )
    row = await users.fetch(harness.reads, alice)
    assert row is not None
    assert (row.order_count, row.lifetime_value) == (3, 1251)
    assert (row.version, row.updated_at) == (7, moment_of(7))


async def test_an_erased_user_is_none_in_every_version(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE, OrderPlaced(order_id=order(1), total=5), UserErased())
    assert await users.fetch(harness.reads, alice) is None
    assert await users.fetch(harness.reads, alice, min_version=3) is None


async def test_of_an_erased_user_only_the_version_is_kept(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE, OrderPlaced(order_id=order(1), total=5), UserErased())
    assert await harness.redis.hgetall(harness.keys_of(alice).document("user", alice)) == {
        "version": "3"
    }


async def test_no_ids_return_no_users(harness: ProjectionHarness) -> None:
    async with limited(1):
        assert await users.fetch_many(harness.reads, {}) == []


async def test_many_users_are_returned_in_the_requested_order_without_missing_ones(
    harness: ProjectionHarness,
) -> None:
    first, second, third = user_in(0, 1), user_in(1, 1), user_in(0, 2)
    await harness.given(ALICE, user=first)
    await harness.given(UserCreated(name="Bob", email="bob@example.com"), user=second)
    rows = await users.fetch_many(harness.reads, located(second, third, first))
    assert [row.id for row in rows] == [str(second), str(first)]
