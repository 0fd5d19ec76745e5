"""The user by e-mail address."""

from __future__ import annotations

from domain.users.events import UserCreated, UserEmailUpdated, UserErased, UserRenamed, email_key
from readside.projections import users_by_email
from tests.readside.envelopes import user_in
from tests.readside.projection_harness import ProjectionHarness

ALICE = UserCreated(name="Alice", email="Alice@Example.com")


async def test_a_user_is_found_by_the_address_whatever_its_case(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE)
    assert await users_by_email.find(harness.reads, email_key("ALICE@example.COM")) == [alice]


async def test_an_unused_address_finds_no_user(harness: ProjectionHarness) -> None:
    await harness.given(ALICE)
    assert await users_by_email.find(harness.reads, "bob@example.com") == []


async def test_a_changed_address_finds_the_user_and_the_old_one_does_not(
    harness: ProjectionHarness,
) -> None:
    alice = await harness.given(ALICE, UserEmailUpdated(email="new@example.com"))
    assert await users_by_email.find(harness.reads, "new@example.com") == [alice]
    assert await users_by_email.find(harness.reads, "alice@example.com") == []


async def test_an_address_that_comes_back_finds_the_user_again(harness: ProjectionHarness) -> None:
    alice = await harness.given(
        ALICE, UserEmailUpdated(email="new@example.com"), UserEmailUpdated(email=ALICE.email)
    )
    assert await users_by_email.find(harness.reads, "alice@example.com") == [alice]
    assert await users_by_email.find(harness.reads, "new@example.com") == []


async def test_other_events_leave_the_address_alone(harness: ProjectionHarness) -> None:
    alice = await harness.given(ALICE, UserRenamed(name="Alicia"))
    assert await users_by_email.find(harness.reads, "alice@example.com") == [alice]


async def test_an_erased_user_is_not_found_and_the_address_is_forgotten(
    harness: ProjectionHarness,
) -> None:
    alice = await harness.given(ALICE, UserErased())
    assert await users_by_email.find(harness.reads, "alice@example.com") == []
    keys = harness.keys_of(alice)
    assert await harness.redis.exists(keys.shared_key("emails"), keys.shared_key("emails-of")) == 0


async def test_events_of_an_erased_user_that_were_blanked_index_nothing(
    harness: ProjectionHarness,
) -> None:
    alice = await harness.given(UserCreated(name="", email=""), UserEmailUpdated(email=""))
    assert await users_by_email.find(harness.reads, "") == []
    assert await harness.redis.exists(harness.keys_of(alice).shared_key("emails")) == 0


async def test_a_released_address_belongs_to_the_user_that_took_it(
    harness: ProjectionHarness,
) -> None:
    for partition in (0, 1):  # in the same partition as the first, and in another
        first, second = user_in(0, 2 * partition), user_in(partition, 5)
        address = f"shared{partition}@example.com"
        await harness.given(UserCreated(name="First", email=address), user=first)
        await harness.given(UserEmailUpdated(email=f"first{partition}@example.com"), user=first)
        await harness.given(UserCreated(name="Second", email=address), user=second)
        assert await users_by_email.find(harness.reads, address) == [second]
        assert await users_by_email.find(harness.reads, f"first{partition}@example.com") == [first]


async def test_an_address_taken_before_its_release_is_applied_is_not_lost(
    harness: ProjectionHarness,
) -> None:
    first, second = user_in(0, 0), user_in(0, 1)
    await harness.given(ALICE, user=first)
    await harness.given(ALICE, user=second)
    await harness.given(UserEmailUpdated(email="first@example.com"), user=first)
    assert await users_by_email.find(harness.reads, "alice@example.com") == [second]


async def test_a_refilled_user_does_not_take_a_former_address_from_its_new_owner(
    harness: ProjectionHarness,
) -> None:
    first, second = user_in(0, 0), user_in(0, 1)
    await harness.given(ALICE, UserEmailUpdated(email="first@example.com"), user=first)
    await harness.given(ALICE, user=second)
    await harness.redis.delete(harness.keys_of(first).document("user", first))
    await harness.given(UserRenamed(name="Anew"), user=first)
    assert await users_by_email.find(harness.reads, "alice@example.com") == [second]
    assert await users_by_email.find(harness.reads, "first@example.com") == [first]
