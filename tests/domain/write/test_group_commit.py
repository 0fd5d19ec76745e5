"""Creations that come together are written together, and each is answered as if it had come alone."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from api.runtime import drivers
from api.settings import Settings
from domain.command import CommandResult
from domain.envelope import partition_of
from domain.refusal import IdempotencyKeyReused
from domain.users.aggregate import USER
from domain.users.refusals import EmailAlreadyRegistered
from domain.write.bulk_insert import bulk_insert
from domain.write.database import WriteModelUnavailable
from domain.write.group_commit import MAX_GROUP_SIZE, MAX_IN_FLIGHT
from tests.chaos.mutation import get, put
from tests.chaos.proxy import Held, Proxy
from tests.chaos.writers import held_commits
from tests.domain.write_model import PARTITIONS, WriteModel, create
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from domain.users.commands.create_user import CreateUser

CREATE_USERS = bulk_insert(USER)


@pytest.fixture
async def wired(wire: Proxy) -> AsyncIterator[WriteModel]:
    """A write model whose statements are counted, and prepared."""
    settings = Settings(database_url=wire.url, database_connections=4)
    async with drivers.database(settings) as pool:
        model = WriteModel(pool)
        # On a busy machine the prepared connection might go back to the pool, and another be made instead.
        put(get(get(model.store, "_database"), "_connections"), "_max_hold_seconds", 2.0)
        await asyncio.gather(*map(model.ask, creations(2, "warm")))
        wire.asked.clear()
        yield model


def creations(count: int, name: str = "new", *, keyed: bool = False) -> list[CreateUser]:
    return [
        create(name, f"{name}-{n}-{count}@example.com", f"{name} {n}" if keyed else None)
        for n in range(count)
    ]


def address(number: int, count: int) -> str:
    return f"new-{number}-{count}@example.com"


async def execute(model: WriteModel, commands: list[CreateUser]) -> list[object]:
    return await asyncio.gather(*map(model.store.execute, commands), return_exceptions=True)


async def all_turns_taken(
    wire: Proxy, model: WriteModel
) -> tuple[list[Held], list[asyncio.Task[CommandResult]]]:
    """By creations that are written, and wait for the answer."""
    held = [wire.hold_next("insert into events") for _ in range(MAX_IN_FLIGHT)]
    asked = []
    for number, hold in enumerate(held):
        command = create("First", f"first-{number}@example.com")
        asked.append(asyncio.create_task(model.ask(command)))
        await hold.reached
    return held, asked


async def test_concurrent_creates_are_one_statement(wire: Proxy, wired: WriteModel) -> None:
    commands = creations(10, keyed=True)
    answers = await asyncio.gather(*map(wired.ask, commands))
    assert [answer.aggregate_id for answer in answers] == [command.user_id for command in commands]
    assert wire.asked == {CREATE_USERS: 1}
    assert wired.woken[-10:] == [partition_of(one.user_id, PARTITIONS) for one in commands]
    await wired.assert_tables_are_the_fold_of_the_log()


async def test_creates_that_arrive_during_a_write_form_the_next_group(
    wire: Proxy, wired: WriteModel
) -> None:
    held, first = await all_turns_taken(wire, wired)
    asked = []
    for command in creations(6):
        asked.append(asyncio.create_task(wired.ask(command)))
        await asyncio.sleep(0)  # a turn each
    for hold in held:
        hold.release()
    await asyncio.gather(*first, *asked)
    assert wire.asked[CREATE_USERS] == 1


async def test_a_group_has_its_bounds(wire: Proxy, wired: WriteModel) -> None:
    await asyncio.gather(*map(wired.ask, creations(3 * MAX_GROUP_SIZE)))
    assert wire.asked[CREATE_USERS] == 3


async def test_a_create_with_a_taken_address_is_refused_and_others_are_not_repeated(
    wire: Proxy, wired: WriteModel
) -> None:
    await wired.user("Alice", address(3, 8).upper())
    wire.asked.clear()
    answers = await execute(wired, creations(8))
    assert answers.pop(3) == EmailAlreadyRegistered()
    assert all(isinstance(answer, CommandResult) for answer in answers)
    assert wire.asked[CREATE_USERS] == 1
    assert wire.asked.total() == 3  # and who is refused tries alone, and looks why
    await wired.assert_tables_are_the_fold_of_the_log()


async def test_of_creates_with_one_address_in_a_group_one_succeeds(model: WriteModel) -> None:
    answers = await execute(model, [create("A", "a@example.com", f"key {n}") for n in range(8)])
    assert answers.count(EmailAlreadyRegistered()) == 7
    assert await model.count("users") == await model.count("commands") == 1


async def test_a_command_repeated_in_a_group_has_the_stored_result(
    wire: Proxy, wired: WriteModel
) -> None:
    before = await wired.ask(create("new", address(3, 8), "new 3"))
    wire.asked.clear()
    answers = await execute(wired, creations(8, keyed=True))
    assert answers[3] == before
    assert all(isinstance(answer, CommandResult) for answer in answers)
    assert wire.asked[CREATE_USERS] == 1
    assert await wired.count("commands") == 8


async def test_one_key_twice_in_a_group_happens_once(model: WriteModel) -> None:
    twins = [create("A", "a@example.com", "k"), create("A", "a@example.com", "k")]
    others = [create("B", "b@example.com", "k"), *creations(4, keyed=True)]
    one, other, reused, *rest = await execute(model, [*twins, *others])
    assert all(isinstance(answer, CommandResult) for answer in rest)
    told = {type(one), type(other), type(reused)}
    assert told == {CommandResult, IdempotencyKeyReused}
    assert one == other
    assert await model.count("users") == await model.count("commands") == 5


async def test_a_create_that_postgresql_rejects_does_not_affect_the_others(
    model: WriteModel,
) -> None:
    """No value that is checked before is of that kind."""
    await model.pool.execute("alter table users add check (name <> 'never')")
    answers = await execute(model, [*creations(4), create("never", "never@example.com")])
    assert [type(answer).__name__ for answer in answers] == [
        *["CommandResult"] * 4,
        "CheckViolationError",
    ]
    await model.assert_tables_are_the_fold_of_the_log()


@asynccontextmanager
async def held(model: WriteModel, *addresses: str) -> AsyncIterator[None]:
    """Somebody registers these, does not come to an end, and thinks better of it at last."""
    async with model.pool.acquire() as slow:
        transaction = slow.transaction()
        await transaction.start()
        for one in addresses:
            await slow.execute(
                "insert into users (id, version, name, email, email_key, created_at, updated_at)"
                " values (gen_random_uuid(), 1, '', $1, $1, now(), now())",
                one,
            )
        yield
        await transaction.rollback()


async def test_a_create_that_waits_for_another_transaction_waits_alone(model: WriteModel) -> None:
    async with held(model, address(3, 8)):
        tasks = [asyncio.create_task(model.ask(command)) for command in creations(8)]
        waiting = tasks.pop(3)
        async with limited(20):
            await asyncio.gather(*tasks)
        assert not waiting.done()
    assert (await waiting).version == 1
    await model.assert_tables_are_the_fold_of_the_log()


async def test_creates_that_wait_for_another_transaction_delay_no_group(
    model: WriteModel,
) -> None:
    addresses = [f"first-{number}@example.com" for number in range(MAX_IN_FLIGHT)]
    async with held(model, *addresses):
        waiting = []
        for one in addresses:
            waiting.append(asyncio.create_task(model.ask(create("A", one))))
            await model.waits_for_a_lock(len(waiting))
        async with limited(20):
            await asyncio.gather(*map(model.ask, creations(8)))
        assert not any(task.done() for task in waiting)
    assert len(await asyncio.gather(*waiting)) == MAX_IN_FLIGHT


async def test_a_cancelled_create_cancels_no_other(wire: Proxy, wired: WriteModel) -> None:
    held = wire.hold_next("insert into events")
    gone, *staying = [asyncio.create_task(wired.ask(command)) for command in creations(4)]
    await held.reached
    gone.cancel()
    held.release()
    assert len(await asyncio.gather(*staying)) == 3
    assert gone.cancelled()
    assert wire.asked == {CREATE_USERS: 1}


async def test_a_create_after_a_cancelled_group_is_in_another_group(
    wire: Proxy, wired: WriteModel
) -> None:
    held, first = await all_turns_taken(wire, wired)
    gone = asyncio.create_task(wired.ask(create("gone", "gone@example.com")))
    await asyncio.sleep(0.01)  # it waits for its turn
    gone.cancel()
    later = [asyncio.create_task(wired.ask(command)) for command in creations(4)]
    await asyncio.wait([gone])
    later += [asyncio.create_task(wired.ask(command)) for command in creations(5)]
    for hold in held:
        hold.release()
    async with limited(20):
        await asyncio.gather(*first, *later)
    assert not await wired.rows("select from users where name = 'gone'")


async def test_if_all_creates_of_a_group_are_cancelled_nothing_is_written(
    model: WriteModel, database_url: str
) -> None:
    async with held_commits(database_url) as hold:
        tasks = [asyncio.create_task(model.ask(command)) for command in creations(4)]
        await hold.reached(len(tasks))  # each alone: as a group they have waited in vain
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await hold.at_rest()
        assert await model.count("users") == 0
        await hold.release()
    assert await model.user()


async def test_a_group_whose_reply_is_lost_is_unknown_until_the_keys_are_repeated(
    wire: Proxy, wired: WriteModel
) -> None:
    wire.cut_at_commit()
    commands = creations(6, keyed=True)
    told = await execute(wired, commands)
    assert all(isinstance(one, WriteModelUnavailable) and "not known" in str(one) for one in told)
    answers = await asyncio.gather(*map(wired.ask, creations(6, keyed=True)))
    assert [answer.aggregate_id for answer in answers] == [command.user_id for command in commands]
    assert await wired.count("commands") == 6


async def test_a_plan_that_was_made_while_the_tables_were_empty_does_not_read_them_through(
    model: WriteModel,
) -> None:
    parameters = len(set(re.findall(r"\$\d+", CREATE_USERS)))
    arguments = [*["'{}'"] * (parameters - 2), "'UserCreated'", "1"]
    async with model.pool.acquire() as connection, connection.transaction():
        await connection.execute(f"prepare many as {CREATE_USERS}")
        await connection.execute("set local plan_cache_mode = force_generic_plan")
        plan = await connection.fetch(f"explain execute many({', '.join(arguments)})")
        await connection.execute("deallocate many")
    assert not [line[0] for line in plan if "Seq Scan on" in line[0]]
