"""Everything is written and COMMIT has not come back: whoever asks again with the key gets the one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from domain.command import CommandResult
from domain.ids import new_id
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.rename_user import RenameUser
from domain.users.events import OrderId, UserId
from domain.write.database import WriteModelUnavailable
from tests.chaos.writers import Hold, held_commits, only, write_models
from tests.domain.write_model import WriteModel, create


@pytest.fixture
async def models(database_url: str) -> AsyncIterator[list[WriteModel]]:
    """Two processes of the API, and a third that has no patience."""
    async with (
        write_models(database_url, 2, connections=10) as models,
        write_models(database_url, 1, seconds=0.3) as hasty,
    ):
        yield [*models, *hasty]


@pytest.fixture
async def user_id(models: list[WriteModel]) -> UserId:
    return await models[0].user()


@pytest.fixture
async def hold(database_url: str, user_id: UserId) -> AsyncIterator[Hold]:
    """From after the user is there."""
    async with held_commits(database_url) as hold:
        yield hold


def order(user_id: UserId) -> PlaceOrder:
    return PlaceOrder(user_id=user_id, order_id=OrderId(new_id()), total=1, idempotency_key="k")


async def exactly_once(model: WriteModel, user_id: UserId) -> None:
    assert await model.count("orders") == await model.count("commands") == 1
    assert len(await model.history(user_id)) == 2
    await model.assert_tables_are_the_fold_of_the_log()


async def test_retries_that_come_while_the_first_stands_there_wait_and_have_its_answer(
    models: list[WriteModel], user_id: UserId, hold: Hold
) -> None:
    first = asyncio.create_task(models[0].ask(order(user_id)))
    await hold.reached()
    retries = [asyncio.create_task(models[n % 2].ask(order(user_id))) for n in range(8)]
    await hold.blocked(9)
    await hold.release()
    answers = await asyncio.gather(first, *retries)
    assert only(answers)
    await exactly_once(models[0], user_id)


async def test_a_task_cancelled_there_leaves_none_or_one_and_the_key_answers(
    models: list[WriteModel], user_id: UserId, hold: Hold
) -> None:
    task = asyncio.create_task(models[0].ask(order(user_id)))
    await hold.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await models[1].count("orders") == 0  # PostgreSQL was told, and rolled it back
    await hold.release()
    assert (await models[1].ask(order(user_id))).version == 2
    await exactly_once(models[0], user_id)


async def test_a_task_cancelled_at_any_moment_leaves_none_or_one_and_the_key_answers(
    models: list[WriteModel], user_id: UserId
) -> None:
    """Without anybody who holds COMMIT."""
    random = Random(11)
    for number in range(150):
        command = RenameUser(user_id=user_id, name=f"N{number}", idempotency_key=f"k{number}")
        task = asyncio.create_task(models[0].ask(command))
        await asyncio.wait({task}, timeout=random.uniform(0.0, 0.004))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await models[1].ask(command)).version == number + 2
    assert len(await models[0].history(user_id)) == 151
    await models[0].assert_tables_are_the_fold_of_the_log()


async def test_a_statement_given_up_there_is_not_known_and_the_key_answers(
    models: list[WriteModel], user_id: UserId, hold: Hold
) -> None:
    with pytest.raises(WriteModelUnavailable, match="not known"):
        await models[2].store.execute(order(user_id))
    again = asyncio.create_task(models[0].ask(order(user_id)))
    await hold.reached()
    await hold.release()
    assert isinstance(await again, CommandResult)
    await exactly_once(models[0], user_id)


async def test_a_connection_killed_there_is_not_known_and_the_key_answers(
    models: list[WriteModel], user_id: UserId, hold: Hold
) -> None:
    task = asyncio.create_task(models[0].store.execute(order(user_id)))
    await hold.reached()
    await models[1].pool.execute(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and not granted"
    )
    with pytest.raises(WriteModelUnavailable, match="not known"):
        await task
    await hold.release()
    assert (await models[1].ask(order(user_id))).version == 2
    await exactly_once(models[0], user_id)


async def test_an_email_that_stands_there_is_taken_or_free_for_others_only_after_it(
    models: list[WriteModel], user_id: UserId, hold: Hold
) -> None:
    first = asyncio.create_task(models[0].ask(create("Bob", "bob@example.com", "k")))
    await hold.reached()
    others = [
        asyncio.create_task(models[1].store.execute(create("B", "BOB@example.com", f"k{n}")))
        for n in range(4)
    ]
    await hold.blocked(5)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await hold.release()
    answers = await asyncio.gather(*others)
    assert sum(isinstance(answer, CommandResult) for answer in answers) == 1
    assert await models[0].count("users") == 2
