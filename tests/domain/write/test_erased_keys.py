"""What is remembered of the keys of the erased: enough to answer again, and nothing to try names on."""

from __future__ import annotations

import pytest

from domain.command import Command
from domain.ids import new_id
from domain.refusal import IdempotencyKeyReused
from domain.users.commands.erase_user import EraseUser
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.rename_user import RenameUser
from domain.users.commands.update_user_email import UpdateUserEmail
from domain.users.events import OrderId, UserId
from domain.users.values import parse_email
from tests.domain.write_model import WriteModel, create

FINGERPRINT = "select fingerprint from commands where id = $1 order by answered_at"


def rename(user_id: UserId, name: str) -> RenameUser:
    return RenameUser(user_id=user_id, name=name, idempotency_key="rename")


async def erased(model: WriteModel) -> UserId:
    """Alice, who became Alicia before she was erased, under keys."""
    made = await model.ask(create("Alice", "alice@example.com", key="create"))
    await model.ask(rename(UserId(made.aggregate_id), "Alicia"))
    await model.ask(EraseUser(user_id=UserId(made.aggregate_id), idempotency_key="erase"))
    return UserId(made.aggregate_id)


async def test_a_key_is_kept_as_its_digest_only(model: WriteModel) -> None:
    user_id = await model.user("Alice", "alice@example.com")
    await model.ask(EraseUser(user_id=user_id, idempotency_key="erase alice@example.com"))
    assert "alice" not in (await model.dump()).lower()
    assert b"alice".hex() not in await model.dump()


async def test_two_users_with_the_same_name_have_different_digests_of_it(
    model: WriteModel,
) -> None:
    users = [await model.user(f"N{n}", f"n{n}@example.com") for n in range(2)]
    for user_id in users:
        key = f"update {user_id}"
        await model.ask(
            UpdateUserEmail(user_id=user_id, email=parse_email("a@b.cc"), idempotency_key=key)
        )
        await model.ask(UpdateUserEmail(user_id=user_id, email=parse_email(f"{user_id}@b.cc")))
    [[one], [other]] = [await model.rows(FINGERPRINT, user_id) for user_id in users]
    assert len(one["fingerprint"]) == len(other["fingerprint"]) == 64
    assert one["fingerprint"][32:] != other["fingerprint"][32:]


async def test_the_key_of_the_request_digests_is_erased_too(model: WriteModel) -> None:
    made = await model.ask(create("Alice", "alice@example.com", key="create"))
    [before] = await model.rows("select secret from users")
    await model.ask(EraseUser(user_id=UserId(made.aggregate_id)))
    assert before["secret"] is not None
    assert str(before["secret"]) not in await model.dump()
    assert before["secret"].hex not in await model.dump()


async def test_without_the_key_every_name_matches_the_request_digest(
    model: WriteModel,
) -> None:
    await erased(model)
    names = [create("Alice", "alice@example.com"), create("Mallory", "mallory@example.com")]
    assert names[0].request_digest(None) == names[1].request_digest(None)


@pytest.mark.parametrize("name", ["Alicia", "Mallory"])
async def test_a_key_of_the_erased_is_answered_as_it_was_whatever_name_comes_with_it(
    model: WriteModel, name: str
) -> None:
    user_id = await erased(model)
    before = await model.dump()
    assert (
        await model.ask(create(name, "alice@example.com", key="create"))
    ).aggregate_id == user_id
    assert (await model.ask(rename(user_id, name))).version == 2
    assert await model.dump() == before


async def test_a_key_of_the_erased_with_another_kind_of_request_is_refused(
    model: WriteModel,
) -> None:
    user_id = await erased(model)
    others: list[Command] = [
        EraseUser(user_id=user_id, idempotency_key="create"),
        create("Alice", "alice@example.com", key="rename"),
        PlaceOrder(user_id=user_id, order_id=OrderId(new_id()), total=1, idempotency_key="erase"),
        rename(UserId(new_id()), "Alicia"),
    ]
    for other in others:
        assert await model.refused(other) == IdempotencyKeyReused()


async def test_the_address_of_an_erased_user_is_free_and_its_key_creates_no_user(
    model: WriteModel,
) -> None:
    user_id = await erased(model)
    again = await model.ask(create("Bob", "alice@example.com", key="another"))
    assert (
        await model.ask(create("Alice", "alice@example.com", key="create"))
    ).aggregate_id == user_id
    assert await model.count("users") == 2
    assert UserId(again.aggregate_id) != user_id
