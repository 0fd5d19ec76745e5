"""The tables of the write model are compared with the log, field by field, while they are written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from domain.log import audit
from domain.log.audit import Audit
from domain.log.erasures import Erasures
from domain.users.commands.complete_order import CompleteOrder
from domain.users.commands.erase_user import EraseUser
from domain.users.commands.rename_user import RenameUser

if TYPE_CHECKING:
    from tests.domain.write_model import WriteModel


async def places(model: WriteModel) -> set[tuple[str, str]]:
    pages = [page async for page in Audit(model.pool).run()]
    return {(one.table, one.field) for page in pages for one in page}


async def test_what_commands_wrote_is_the_fold_of_the_log(
    model: WriteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PAGE", 2)
    for number in range(5):
        user = await model.user(address=f"n{number}@example.com")
        order = await model.order(user)
        await model.ask(CompleteOrder(order_id=order))
        await model.order(user)
    await model.ask(EraseUser(user_id=user))
    assert await places(model) == set()


TAMPERED: dict[str, tuple[str, set[tuple[str, str]]]] = {
    "a name": ("update users set name = 'Mallory'", {("users", "name")}),
    "an address": (
        "update users set email = 'm@example.com', email_key = 'm@example.com'",
        {("users", "email"), ("users", "email_key")},
    ),
    "a version": ("update users set version = 9", {("users", "version")}),
    "a total": ("update orders set total = 1", {("orders", "total")}),
    "a status": ("update orders set status = 'COMPLETED'", {("orders", "status")}),
    "an order that is gone": (
        "delete from orders",
        {("orders", field) for field in ("id", "placed_at", "status", "total", "user_id")},
    ),
    "an event that is gone": ("delete from events where version = 2", {("users", "version")}),
    "an event in the middle": ("delete from events where version = 1", {("events", "version 1")}),
    "an event nobody can read": (
        "update events set type = 'Dreamt' where version = 2",
        {("events", "version 2")},
    ),
    "a user without a row": (
        "delete from orders; delete from users",
        {("users", "")},
    ),
}


@pytest.mark.parametrize("table", ["users", "orders"])
async def test_a_column_that_is_not_compared_is_named(model: WriteModel, table: str) -> None:
    await model.pool.execute(f"alter table {table} add column phone text default '+49 123'")
    await model.user()
    assert await places(model) == {(table, "phone")}


async def test_personal_data_that_outlived_an_erasure_is_named(model: WriteModel) -> None:
    await model.ask(EraseUser(user_id=await model.user()))
    await model.pool.execute(
        """update events set data = '{"name": "Alice", "email": ""}' where version = 1"""
    )
    await model.pool.execute("update users set name = 'Alice', secret = gen_random_uuid()")
    assert await places(model) == {
        ("events", "version 1 name"),
        ("users", "name"),
        ("users", "secret"),
    }
    # As docs/operations.md says.
    await model.pool.execute("insert into erasures select id, 0, version, erased_at from users")
    assert await Erasures(model.pool).run_once()
    assert await places(model) == {("users", "name"), ("users", "secret")}


@pytest.mark.parametrize("what", TAMPERED)
async def test_tampered_data_is_named(model: WriteModel, what: str) -> None:
    order = str(await model.order(await model.user()))
    statement, expected = TAMPERED[what]
    await model.pool.execute(statement)
    found = await places(model)
    without_id = {(table, field.removeprefix(f"{order} ")) for table, field in found}
    assert without_id == expected or (without_id > expected and "event" in what)


async def test_what_is_written_meanwhile_is_no_difference(model: WriteModel) -> None:
    users = [await model.user(address=f"n{number}@example.com") for number in range(5)]

    async def write() -> None:
        for number in range(40):
            user = users[number % 5]
            await model.ask(RenameUser(user_id=user, name=f"Name {number}"))
            await model.ask(CompleteOrder(order_id=await model.order(user)))

    writing = asyncio.create_task(write())
    looks = 0
    while not writing.done():
        assert await places(model) == set()
        looks += 1
    await writing
    assert looks > 1
