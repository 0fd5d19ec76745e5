"""Many clients ask for the same at once, over many processes of the API: it happens once, for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import chain
from random import Random

import pytest

from domain.command import Command, CommandResult
from domain.ids import new_id
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.rename_user import RenameUser
from domain.users.events import OrderId, UserId
from domain.users.refusals import EmailAlreadyRegistered
from tests.chaos.writers import only, write_models
from tests.domain.write_model import WriteModel, create

CLIENTS, KEYS = 8, 200


@pytest.fixture
async def models(database_url: str) -> AsyncIterator[list[WriteModel]]:
    """One for each client."""
    async with write_models(database_url, CLIENTS) as models:
        yield models


def request(number: int, user_id: UserId) -> Command:
    """As it comes from a client: each time the API makes up another id for what is to be created."""
    key = f"key {number}"
    match number % 3:
        case 0:
            return create(f"N{number}", f"n{number}@example.com", key)
        case 1:
            order_id = OrderId(new_id())
            return PlaceOrder(user_id=user_id, order_id=order_id, total=number, idempotency_key=key)
        case _:
            return RenameUser(user_id=user_id, name=f"Renamed {number}", idempotency_key=key)


async def test_eight_clients_with_the_same_two_hundred_keys_cause_one_event_for_each_key(
    models: list[WriteModel],
) -> None:
    users = [await models[0].user(f"U{n}", f"u{n}@example.com") for n in range(10)]
    numbers = list(range(KEYS))

    async def client(seed: int) -> dict[int, CommandResult]:
        order = Random(seed // 2).sample(numbers, KEYS)  # two of them in the same order
        return {n: await models[seed].ask(request(n, users[n % 10])) for n in order}

    answers = await asyncio.gather(*map(client, range(CLIENTS)))
    for number in numbers:
        assert only(answer[number] for answer in answers)
    assert await models[0].count("commands") == KEYS
    assert await models[0].count("events") == KEYS + len(users)
    assert sum(len(model.woken) for model in models) == KEYS + len(users)
    await models[0].assert_tables_are_the_fold_of_the_log()


async def test_one_key_sent_by_all_in_the_same_moment_two_hundred_times_happens_once_each_time(
    models: list[WriteModel],
) -> None:
    user_id = await models[0].user()
    for number in range(KEYS):
        assert only(
            await asyncio.gather(*[model.ask(request(number, user_id)) for model in models])
        )
    assert await models[0].count("events") == KEYS + 1
    await models[0].assert_tables_are_the_fold_of_the_log()


async def test_one_email_registered_fifty_times_at_once_belongs_to_one(
    models: list[WriteModel],
) -> None:
    answers = await asyncio.gather(
        *[
            models[n % CLIENTS].store.execute(
                create(f"N{n}", "ALICE@example.com" if n % 2 else "alice@example.com")
            )
            for n in range(50)
        ]
    )
    assert answers.count(EmailAlreadyRegistered()) == 49
    assert await models[0].count("users") == await models[0].count("events") == 1


async def test_thirty_two_writers_of_one_user_in_many_processes_leave_no_hole(
    models: list[WriteModel],
) -> None:
    user_id = await models[0].user()

    async def writer(number: int) -> list[int]:
        model = models[number % CLIENTS]
        orders = [
            PlaceOrder(user_id=user_id, order_id=OrderId(new_id()), total=n + 1) for n in range(4)
        ]
        return [(await model.ask(order)).version for order in orders]

    versions = await asyncio.gather(*map(writer, range(32)))
    assert sorted(chain(*versions)) == list(range(2, 2 + 32 * 4))
    await models[0].assert_tables_are_the_fold_of_the_log()
