"""Many at once: versions without a hole, an e-mail for one, nobody waits for ever."""

from __future__ import annotations

import asyncio

from domain.command import CommandResult
from domain.envelope import partition_of
from domain.ids import new_id
from domain.refusal import VersionConflict
from domain.users.commands.complete_order import CompleteOrder
from domain.users.commands.erase_user import EraseUser
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.rename_user import RenameUser
from domain.users.commands.update_user_email import UpdateUserEmail
from domain.users.events import OrderId, UserId
from domain.users.refusals import (
    EmailAlreadyRegistered,
    OrderNotOpen,
    UserNotFound,
)
from domain.users.values import parse_email
from tests.domain.write_model import PARTITIONS, WriteModel, create


def place(user_id: UserId) -> PlaceOrder:
    return PlaceOrder(user_id=user_id, order_id=OrderId(new_id()), total=1)


async def test_writers_of_one_user_share_its_versions_without_a_hole(model: WriteModel) -> None:
    user_id = await model.user()
    answers = await asyncio.gather(*[model.ask(place(user_id)) for _ in range(32)])
    assert sorted(answer.version for answer in answers) == list(range(2, 34))
    assert len(await model.history(user_id)) == 33
    await model.assert_tables_are_the_fold_of_the_log()


async def test_an_event_of_a_user_has_a_higher_position_than_the_one_before(
    model: WriteModel,
) -> None:
    user_id = await model.user()
    await asyncio.gather(*[model.ask(place(user_id)) for _ in range(32)])
    rows = await model.rows("select version from events order by position")
    assert [row["version"] for row in rows] == list(range(1, 34))


async def test_one_email_registered_twenty_times_concurrently_belongs_to_one_user(
    model: WriteModel,
) -> None:
    requests = [
        create(f"N{n}", "ALICE@example.com" if n % 2 else "alice@example.com") for n in range(20)
    ]
    answers = await asyncio.gather(*map(model.store.execute, requests))
    assert answers.count(EmailAlreadyRegistered()) == 19
    assert await model.count("users") == await model.count("events") == 1


async def test_one_order_completed_twenty_times_concurrently_counts_once(model: WriteModel) -> None:
    order_id = await model.order(await model.user())
    command = CompleteOrder(order_id=order_id)
    answers = await asyncio.gather(*[model.store.execute(command) for _ in range(20)])
    assert answers.count(OrderNotOpen(status="COMPLETED")) == 19
    await model.assert_tables_are_the_fold_of_the_log()


async def test_of_twenty_commands_that_expect_one_version_one_succeeds(model: WriteModel) -> None:
    user_id = await model.user()
    requests = [RenameUser(user_id=user_id, name=f"N{n}", expected_version=1) for n in range(20)]
    answers = await asyncio.gather(*map(model.store.execute, requests))
    assert answers.count(VersionConflict(expected=1, actual=2)) == 19


async def test_erasing_a_user_who_is_changed_meanwhile_leaves_no_name(model: WriteModel) -> None:
    user_id = await model.user("Secret", "secret@example.com")
    renames = [RenameUser(user_id=user_id, name=f"Secret {n}") for n in range(16)]
    commands = [*renames[:8], EraseUser(user_id=user_id), *renames[8:]]
    answers = await asyncio.gather(*map(model.store.execute, commands))
    assert all(isinstance(answer, CommandResult | UserNotFound) for answer in answers)
    assert "secret" not in (await model.dump()).lower()
    await model.assert_tables_are_the_fold_of_the_log()


async def test_two_users_who_swap_their_emails_concurrently_both_get_a_result(
    model: WriteModel,
) -> None:
    alice = await model.user("Alice", "alice@example.com")
    bob = await model.user("Bob", "bob@example.com")
    swaps = [
        UpdateUserEmail(user_id=alice, email=parse_email("bob@example.com")),
        UpdateUserEmail(user_id=bob, email=parse_email("alice@example.com")),
    ]
    answers = await asyncio.gather(*map(model.store.execute, swaps))
    assert EmailAlreadyRegistered() in answers
    await model.assert_tables_are_the_fold_of_the_log()


async def test_a_slow_writer_of_one_user_does_not_hold_back_another(model: WriteModel) -> None:
    alice, bob = await model.user(), await model.user("Bob", "bob@example.com")
    async with model.pool.acquire() as slow, slow.transaction():
        await slow.execute("select from users where id = $1 for update", alice)
        waiting = asyncio.create_task(model.ask(place(alice)))
        await model.waits_for_a_lock()
        assert (await model.ask(place(bob))).version == 2
    assert (await waiting).version == 2


async def test_others_are_woken_with_the_partition_only_after_commit(model: WriteModel) -> None:
    user_id = await model.user()
    async with model.pool.acquire() as slow, slow.transaction():
        await slow.execute("select from users where id = $1 for update", user_id)
        waiting = asyncio.create_task(model.ask(place(user_id)))
        await model.waits_for_a_lock()
        assert model.woken == [partition_of(user_id, PARTITIONS)]  # by its creation
    await waiting
    await model.user("Bob", "bob@example.com")
    rows = await model.rows("select partition from events order by position")
    assert model.woken == [row["partition"] for row in rows]


async def test_a_command_that_lost_a_deadlock_is_carried_out_after_all(model: WriteModel) -> None:
    alice = await model.user("Alice", "alice@example.com")
    bob = await model.user("Bob", "bob@example.com")
    async with model.pool.acquire() as other, other.transaction():
        await other.execute("set local deadlock_timeout = '1min'")  # so it is not the one to yield
        await other.execute("update users set email_key = null where id = $1", bob)
        wish = UpdateUserEmail(user_id=alice, email=parse_email("bob@example.com"))
        waiting = asyncio.create_task(model.store.execute(wish))
        await model.waits_for_a_lock()
        await other.execute("select from users where id = $1 for update", alice)
    assert await waiting == CommandResult(id=alice, aggregate_id=alice, version=2)
