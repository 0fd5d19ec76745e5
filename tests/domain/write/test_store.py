"""What each command leaves in the tables: its rows and its events, together or not at all."""

from __future__ import annotations

import asyncio
from uuid import UUID

import msgspec
import pytest

from domain.command import Command, CommandResult
from domain.envelope import partition_of
from domain.refusal import Refusal, VersionConflict
from domain.users.commands.cancel_order import CancelOrder
from domain.users.commands.complete_order import CompleteOrder
from domain.users.commands.erase_user import EraseUser
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.rename_user import RenameUser
from domain.users.commands.update_user_email import UpdateUserEmail
from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderId,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserEvent,
    UserId,
    UserRenamed,
)
from domain.users.refusals import (
    EmailAlreadyRegistered,
    OrderNotFound,
    OrderNotOpen,
    UserNotFound,
)
from domain.users.values import parse_email
from tests.domain.write_model import PARTITIONS, START, WriteModel, create

NOBODY = UserId(UUID(int=7))
NO_ORDER = OrderId(UUID(int=8))
CREATED = UserCreated(name="Alice", email="Alice@example.com")


async def test_createuser_writes_a_user_and_its_first_event(model: WriteModel) -> None:
    command = create("Alice", "Alice@EXAMPLE.com")
    answer = await model.ask(command)
    assert answer == CommandResult(id=command.user_id, aggregate_id=command.user_id, version=1)
    assert await model.history(command.user_id) == [CREATED]
    await model.assert_tables_are_the_fold_of_the_log()


async def test_an_event_says_where_when_and_why_it_happened(model: WriteModel) -> None:
    user_id = (
        await model.store.execute(create("Alice", "a@b.example"), metadata={"t": "1"})
    ).aggregate_id  # type: ignore[union-attr]
    [event] = await model.rows("select *, metadata::json ->> 't' as t from events")
    assert event["partition"] == partition_of(user_id, PARTITIONS)
    assert event["occurred_at"] > START
    assert event["t"] == "1"
    assert '"command": "CreateUser"' in event["metadata"]


METADATA = {
    "commandId": "019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f",
    "correlationId": "4bf92f3577b34da6a3ce929d0e0e4736",
    "causationId": "00f067aa0ba902b7",
    "actor": "u-5f2c",
}
IDS = ("commandId", "correlationId", "causationId")


async def test_metadata_is_stored_as_it_is_given_and_nothing_of_the_command_is_added_but_its_name_and_id(
    model: WriteModel,
) -> None:
    """Grouped or alone; metadata is not erased, so nothing personal may be in it."""
    users = [create(f"Alice {n}", f"a{n}@b.example", key=f"alice {n}") for n in range(4)]
    created = await asyncio.gather(
        *(model.store.execute(user, metadata=METADATA) for user in users)
    )
    rename = RenameUser(user_id=users[0].user_id, name="Zoë")
    await model.store.execute(rename, metadata=METADATA)
    await model.user("Bob", "bob@b.example")
    assert all(isinstance(one, CommandResult) for one in created)
    *given, alone = [
        msgspec.json.decode(row["metadata"])
        for row in await model.rows("select metadata from events order by position")
    ]
    assert given == [
        *[{"command": "CreateUser", **METADATA}] * 4,
        {"command": "RenameUser", **METADATA},
    ]
    ids = alone["commandId"], alone["correlationId"], alone["causationId"]
    assert alone == {"command": "CreateUser", **dict(zip(IDS, ids, strict=True))}
    assert len(set(ids)) == 1
    assert UUID(alone["commandId"]).version == 7


async def test_the_commands_on_a_user_write_its_row_and_an_event_each(model: WriteModel) -> None:
    user_id = await model.user("Alice", "Alice@example.com")
    order_id = OrderId(UUID(int=9))
    commands: list[tuple[Command, UserEvent, UUID]] = [
        (
            UpdateUserEmail(user_id=user_id, email=parse_email("new@example.com")),
            UserEmailUpdated(email="new@example.com"),
            user_id,
        ),
        (RenameUser(user_id=user_id, name="Zoë"), UserRenamed(name="Zoë"), user_id),
        (
            PlaceOrder(user_id=user_id, order_id=order_id, total=1250),
            OrderPlaced(order_id=order_id, total=1250),
            order_id,
        ),
        (
            CompleteOrder(order_id=order_id),
            OrderCompleted(order_id=order_id, total=1250),
            order_id,
        ),
    ]
    for version, (command, _, subject) in enumerate(commands, start=2):
        answer = await model.ask(command)
        assert answer == CommandResult(id=subject, aggregate_id=user_id, version=version)
    assert await model.history(user_id) == [CREATED, *(event for _, event, _ in commands)]
    await model.assert_tables_are_the_fold_of_the_log()


async def test_cancelling_one_order_leaves_the_others_as_they_are(model: WriteModel) -> None:
    user_id = await model.user()
    kept, cancelled = await model.order(user_id), await model.order(user_id)
    await model.ask(CancelOrder(order_id=cancelled))
    status = {row["id"]: row["status"] for row in await model.rows("select * from orders")}
    assert status == {kept: "OPEN", cancelled: "CANCELLED"}
    assert (await model.history(user_id))[-1] == OrderCancelled(order_id=cancelled)
    await model.assert_tables_are_the_fold_of_the_log()


async def test_the_largest_total_and_the_longest_name_can_be_written(model: WriteModel) -> None:
    user_id = await model.user("👩" * 100, "ü" * 40 + "@" + "ü" * 40 + ".example")
    await model.order(user_id, 99_999_999_999)
    await model.assert_tables_are_the_fold_of_the_log()


async def test_a_command_that_changes_nothing_answers_the_present_version(
    model: WriteModel,
) -> None:
    user_id = await model.user("Alice", "alice@example.com")
    before = await model.dump()
    for command in (
        RenameUser(user_id=user_id, name="Alice"),
        UpdateUserEmail(
            user_id=user_id, email=parse_email("alice@example.com"), expected_version=1
        ),
    ):
        answer = await model.ask(command)
        assert answer == CommandResult(id=user_id, aggregate_id=user_id, version=1)
    assert await model.dump() == before


@pytest.mark.parametrize("address", ["alice@example.com", "ALICE@EXAMPLE.COM"])
async def test_an_email_belongs_to_one_user_whatever_its_case(
    model: WriteModel, address: str
) -> None:
    await model.user("Alice", "Alice@example.com")
    bob = await model.user("Bob", "bob@example.com")
    before = await model.dump()
    assert await model.refused(create("Carol", address)) == EmailAlreadyRegistered()
    update = UpdateUserEmail(user_id=bob, email=parse_email(address))
    assert await model.refused(update) == EmailAlreadyRegistered()
    assert await model.dump() == before


async def test_a_user_may_change_the_case_of_its_own_email(model: WriteModel) -> None:
    user_id = await model.user("Alice", "alice@example.com")
    await model.ask(UpdateUserEmail(user_id=user_id, email=parse_email("ALICE@example.com")))
    await model.assert_tables_are_the_fold_of_the_log()


async def test_an_email_that_was_replaced_is_free_again(model: WriteModel) -> None:
    user_id = await model.user("Alice", "alice@example.com")
    await model.ask(UpdateUserEmail(user_id=user_id, email=parse_email("new@example.com")))
    await model.user("Bob", "alice@example.com")
    await model.assert_tables_are_the_fold_of_the_log()


async def test_refusals_leave_no_trace(model: WriteModel) -> None:
    user_id = await model.user()
    done = await model.order(user_id)
    await model.ask(CompleteOrder(order_id=done))
    before, woken = await model.dump(), len(model.woken)
    refusals: list[tuple[Command, Refusal]] = [
        (RenameUser(user_id=NOBODY, name="N"), UserNotFound()),
        (UpdateUserEmail(user_id=NOBODY, email=parse_email("n@example.com")), UserNotFound()),
        (PlaceOrder(user_id=NOBODY, order_id=NO_ORDER, total=1), UserNotFound()),
        (EraseUser(user_id=NOBODY), UserNotFound()),
        (CompleteOrder(order_id=NO_ORDER), OrderNotFound()),
        (CancelOrder(order_id=NO_ORDER), OrderNotFound()),
        (CompleteOrder(order_id=done), OrderNotOpen(status="COMPLETED")),
        (CancelOrder(order_id=done), OrderNotOpen(status="COMPLETED")),
        (
            RenameUser(user_id=user_id, name="N", expected_version=2),
            VersionConflict(expected=2, actual=3),
        ),
        (create("Bob", "alice@example.com", key="k"), EmailAlreadyRegistered()),
    ]
    for command, refusal in refusals:
        assert await model.refused(command) == refusal
    assert await model.dump() == before
    assert len(model.woken) == woken


async def test_an_expected_version_that_is_the_present_one_is_carried_out(
    model: WriteModel,
) -> None:
    user_id = await model.user()
    answer = await model.ask(RenameUser(user_id=user_id, name="Zoë", expected_version=1))
    assert answer.version == 2


async def test_erasing_a_user_blanks_its_name_and_email_everywhere_and_keeps_its_orders(
    model: WriteModel,
) -> None:
    user_id = await model.user("Aloysius", "aloysius@secret.example")
    await model.user("Bob", "bob@example.com")
    await model.ask(RenameUser(user_id=user_id, name="Barnaby"))
    await model.ask(UpdateUserEmail(user_id=user_id, email=parse_email("Barnaby@secret.example")))
    order_id = await model.order(user_id)
    await model.ask(EraseUser(user_id=user_id, idempotency_key="forget"))
    assert await model.history(user_id) == [
        UserCreated(name="", email=""),
        UserRenamed(name=""),
        UserEmailUpdated(email=""),
        OrderPlaced(order_id=order_id, total=1250),
        UserErased(),
    ]
    dump = (await model.dump()).lower()
    assert "bob@example.com" in dump
    assert not [word for word in ("aloysius", "barnaby", "secret") if word in dump]
    await model.assert_tables_are_the_fold_of_the_log()


async def test_an_erased_user_frees_its_email_and_answers_no_more(model: WriteModel) -> None:
    user_id = await model.user("Alice", "alice@example.com")
    order_id = await model.order(user_id)
    await model.ask(EraseUser(user_id=user_id))
    await model.user("Alice", "alice@example.com")
    assert await model.refused(RenameUser(user_id=user_id, name="A")) == UserNotFound()
    assert await model.refused(EraseUser(user_id=user_id)) == UserNotFound()
    assert await model.refused(CompleteOrder(order_id=order_id)) == OrderNotFound()


async def test_two_users_can_be_erased(model: WriteModel) -> None:
    for number in range(2):
        await model.ask(EraseUser(user_id=await model.user("N", f"n{number}@example.com")))
    await model.assert_tables_are_the_fold_of_the_log()
