"""A key is answered once: the same request gets the same answer again, another request is refused."""

from __future__ import annotations

import asyncio

import pytest

from api.runtime import drivers
from api.settings import Settings
from domain.command import Command
from domain.ids import new_id
from domain.refusal import IdempotencyKeyReused
from domain.users.commands.cancel_order import CancelOrder
from domain.users.commands.complete_order import CompleteOrder
from domain.users.commands.erase_user import EraseUser
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.rename_user import RenameUser
from domain.users.commands.update_user_email import UpdateUserEmail
from domain.users.events import OrderId, UserId
from domain.users.refusals import EmailAlreadyRegistered, OrderNotFound, UserNotFound
from domain.users.values import parse_email
from tests.chaos.proxy import Proxy
from tests.domain.write_model import WriteModel, create


def place(user_id: UserId, key: str, total: int = 1250) -> PlaceOrder:
    return PlaceOrder(user_id=user_id, order_id=OrderId(new_id()), total=total, idempotency_key=key)


async def test_creating_a_user_twice_with_one_key_creates_it_once(model: WriteModel) -> None:
    first = await model.ask(create("Alice", "alice@example.com", key="k"))
    assert await model.ask(create("Alice", "alice@example.com", key="k")) == first
    assert await model.count("users") == await model.count("events") == 1


async def test_a_creation_is_answered_again_after_its_user_has_another_email(
    model: WriteModel,
) -> None:
    first = await model.ask(create("Alice", "alice@example.com", key="k"))
    await model.ask(
        UpdateUserEmail(user_id=UserId(first.aggregate_id), email=parse_email("new@example.com"))
    )
    assert await model.ask(create("Alice", "alice@example.com", key="k")) == first
    assert await model.count("users") == 1


async def test_a_creation_is_answered_again_after_its_user_was_erased(model: WriteModel) -> None:
    first = await model.ask(create("Alice", "alice@example.com", key="k"))
    await model.ask(EraseUser(user_id=UserId(first.aggregate_id)))
    assert await model.ask(create("Alice", "alice@example.com", key="k")) == first
    assert await model.count("users") == 1


async def test_every_command_is_answered_again_as_it_was_though_more_has_happened(
    model: WriteModel,
) -> None:
    user_id = await model.user("Alice", "alice@example.com")
    order_id = await model.order(user_id)
    commands: list[Command] = [
        RenameUser(user_id=user_id, name="Zoë", idempotency_key="rename"),
        UpdateUserEmail(
            user_id=user_id, email=parse_email("z@b.example"), idempotency_key="update"
        ),
        CompleteOrder(order_id=order_id, idempotency_key="complete"),
        EraseUser(user_id=user_id, idempotency_key="erase"),
    ]
    first = [await model.ask(command) for command in commands]
    before = await model.dump()
    assert [await model.ask(command) for command in commands] == first
    assert await model.dump() == before


async def test_the_order_first_placed_is_the_answer_though_the_second_call_made_another_id(
    model: WriteModel,
) -> None:
    user_id = await model.user()
    first = await model.ask(place(user_id, "k"))
    assert await model.ask(place(user_id, "k")) == first
    assert await model.count("orders") == 1


async def test_the_key_of_a_command_that_changed_nothing_is_taken_too(model: WriteModel) -> None:
    user_id = await model.user("Alice")
    quiet = RenameUser(user_id=user_id, name="Alice", idempotency_key="k")
    first = await model.ask(quiet)
    await model.ask(RenameUser(user_id=user_id, name="Zoë"))
    assert await model.ask(quiet) == first
    loud = RenameUser(user_id=user_id, name="Carol", idempotency_key="k")
    assert await model.refused(loud) == IdempotencyKeyReused()


@pytest.mark.parametrize(
    "other",
    [
        create("Alicia", "alice@example.com", key="k"),
        create("Alice", "other@example.com", key="k"),
        create("Alice", "Alice@example.com", key="k"),
    ],
)
async def test_a_key_with_another_creation_is_refused(model: WriteModel, other: Command) -> None:
    await model.ask(create("Alice", "alice@example.com", key="k"))
    before = await model.dump()
    assert await model.refused(other) == IdempotencyKeyReused()
    assert await model.dump() == before


async def test_a_key_with_another_command_is_refused(model: WriteModel) -> None:
    user_id = UserId((await model.ask(create("Alice", "alice@example.com", key="k"))).aggregate_id)
    order_id = await model.order(user_id)
    before = await model.dump()
    for other in (
        RenameUser(user_id=user_id, name="Alice", idempotency_key="k"),
        place(user_id, "k"),
        CompleteOrder(order_id=order_id, idempotency_key="k"),
    ):
        assert await model.refused(other) == IdempotencyKeyReused()
    assert await model.dump() == before


async def test_a_key_of_one_verb_is_not_a_key_of_another_on_the_same_order(
    model: WriteModel,
) -> None:
    order_id = await model.order(await model.user())
    await model.ask(CompleteOrder(order_id=order_id, idempotency_key="k"))
    cancel = CancelOrder(order_id=order_id, idempotency_key="k")
    assert await model.refused(cancel) == IdempotencyKeyReused()


async def test_a_key_with_another_total_or_expected_version_is_refused(model: WriteModel) -> None:
    user_id = await model.user()
    await model.ask(place(user_id, "k"))
    assert await model.refused(place(user_id, "k", total=1251)) == IdempotencyKeyReused()
    expecting = PlaceOrder(
        user_id=user_id,
        order_id=OrderId(new_id()),
        total=1250,
        expected_version=2,
        idempotency_key="k",
    )
    assert await model.refused(expecting) == IdempotencyKeyReused()


async def test_a_refusal_takes_no_key(model: WriteModel) -> None:
    await model.user("Alice", "alice@example.com")
    taken = create("Bob", "alice@example.com", key="k")
    assert await model.refused(taken) == EmailAlreadyRegistered()
    missing = RenameUser(user_id=UserId(new_id()), name="N", idempotency_key="k")
    assert await model.refused(missing) == UserNotFound()
    unknown = CompleteOrder(order_id=OrderId(new_id()), idempotency_key="k")
    assert await model.refused(unknown) == OrderNotFound()
    await model.ask(create("Bob", "bob@example.com", key="k"))


async def test_commands_without_a_key_are_carried_out_each_time(model: WriteModel) -> None:
    user_id = await model.user()
    await model.order(user_id)
    await model.order(user_id)
    assert await model.count("orders") == 2
    assert await model.count("commands") == 0


async def test_one_create_sent_twenty_times_concurrently_happens_once(model: WriteModel) -> None:
    requests = [create("Alice", "alice@example.com", key="k") for _ in range(20)]
    answers = await asyncio.gather(*map(model.ask, requests))
    assert set(answers) == {answers[0]}
    assert await model.count("users") == await model.count("events") == 1
    assert len(model.woken) == 1


async def test_one_order_sent_twenty_times_concurrently_is_placed_once(model: WriteModel) -> None:
    user_id = await model.user()
    answers = await asyncio.gather(*[model.ask(place(user_id, "k")) for _ in range(20)])
    assert set(answers) == {answers[0]}
    assert await model.count("orders") == 1


async def test_a_command_without_events_sent_twenty_times_concurrently_has_one_result(
    model: WriteModel,
) -> None:
    user_id = await model.user("Alice")
    quiet = RenameUser(user_id=user_id, name="Alice", idempotency_key="k")
    answers = await asyncio.gather(*[model.ask(quiet) for _ in range(20)])
    assert set(answers) == {answers[0]}
    assert await model.count("commands") == 1


async def test_one_key_for_twenty_concurrent_requests_belongs_to_one(model: WriteModel) -> None:
    requests = [create(f"N{n}", f"n{n}@example.com", key="k") for n in range(20)]
    answers = await asyncio.gather(*map(model.store.execute, requests))
    assert answers.count(IdempotencyKeyReused()) == 19
    assert await model.count("users") == 1


@pytest.mark.parametrize("key", [None, "k"])
async def test_the_very_same_creation_is_answered_again(model: WriteModel, key: str | None) -> None:
    command = create("Alice", "alice@example.com", key=key)
    first = await model.ask(command)
    assert await model.ask(command) == first
    assert await model.count("users") == await model.count("events") == 1


async def test_a_result_without_a_change_is_stored_only_for_the_state_that_it_was_decided_on(
    model: WriteModel, wire: Proxy
) -> None:
    """The user may be renamed meanwhile, or be another one after a dump was restored."""
    user_id = await model.user("Alice")
    async with drivers.database(Settings(database_url=wire.url)) as pool:
        late = WriteModel(pool)
        loaded = wire.hold_next("left join users")
        command = RenameUser(user_id=user_id, name="Alice", idempotency_key="k")
        waiting = asyncio.create_task(late.ask(command))
        await loaded.reached
        await model.ask(RenameUser(user_id=user_id, name="Bob"))
        loaded.release()
        answer = await waiting
    assert answer.version == 3
    assert (await model.folded(user_id)).name == "Alice"
    assert await model.ask(command) == answer
