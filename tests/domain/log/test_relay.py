"""The relay loses nothing, carries nothing twice, keeps each user's order and waits for nobody."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from api.runtime import drivers
from api.settings import Settings
from domain.ids import new_id
from domain.refusal import Refusal
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.update_user_email import UpdateUserEmail
from domain.users.events import OrderId, UserId
from domain.users.values import parse_email
from tests.chaos.proxy import proxy
from tests.domain.log.relay_harness import Carrying, settle, user_in, write
from tests.domain.write_model import WriteModel, create


async def test_what_was_written_is_carried_once(carrying: Carrying) -> None:
    relay = await carrying.begun()
    user_id = await carrying.model.user()
    await carrying.model.order(user_id)
    await settle(relay)
    await settle(relay)
    assert carrying.stream.versions(user_id) == [1, 2]
    await carrying.assert_all_is_carried()


async def test_a_pass_that_finds_nothing_appends_nothing(carrying: Carrying) -> None:
    relay = await carrying.begun()
    before = dict(carrying.stream.kept)
    assert not await relay.run_once()
    assert carrying.stream.kept == before


async def test_what_was_written_before_a_stream_began_is_left_to_a_rebuild(
    carrying: Carrying,
) -> None:
    before = await carrying.model.user()
    relay = await carrying.begun()
    after = await carrying.model.user("Bob", "bob@example.com")
    await settle(relay)
    assert carrying.stream.versions(before) == []
    assert carrying.stream.versions(after) == [1]


async def test_what_was_open_when_a_stream_began_is_carried_when_it_commits(
    carrying: Carrying,
) -> None:
    user_id = user_in(0)
    async with carrying.transaction() as slow:
        await write(slow, user_id, 1)
        relay = await carrying.begun()
    await settle(relay)
    assert carrying.stream.versions(user_id) == [1]


async def test_an_open_transaction_holds_no_other_event_back(carrying: Carrying) -> None:
    relay = await carrying.begun()
    mine, other = user_in(3), user_in(3)
    async with carrying.transaction() as slow:
        await write(slow, other, 1)
        for version in range(1, 4):
            await write(carrying.model.pool, mine, version)
            await relay.run_once()
            assert len(carrying.stream.versions(mine)) == version
        assert carrying.stream.versions(other) == []
    await settle(relay)
    await carrying.assert_all_is_carried()


async def test_what_commits_late_is_not_lost_though_its_position_and_number_are_low(
    carrying: Carrying,
) -> None:
    relay = await carrying.begun()
    late, early = user_in(3), user_in(3)
    async with carrying.transaction() as slow:
        await write(slow, late, 1)
        for version in range(1, 4):
            await write(carrying.model.pool, early, version)
        await settle(relay)
    await settle(relay)
    assert carrying.stream.versions(late) == [1]
    await carrying.assert_all_is_carried()


async def test_many_that_were_open_at_different_times_are_all_carried_once(
    carrying: Carrying,
) -> None:
    relay = await carrying.begun()
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        stacks = [first, second]
        for number in range(12):
            slow = await stacks[number % 2].enter_async_context(carrying.transaction())
            await write(slow, user_in(number % 3), 1)
            await write(carrying.model.pool, user_in(number % 3), 1)
            await settle(relay)
        await first.aclose()
        await settle(relay)
        await carrying.assert_all_is_carried()
    await settle(relay)
    assert len(carrying.stream.all) == 24
    await carrying.assert_all_is_carried()


async def test_a_user_keeps_its_order_though_the_later_transaction_has_the_lower_number(
    carrying: Carrying,
) -> None:
    relay = await carrying.begun()
    user_id = user_in(5)
    async with carrying.transaction() as older:
        await write(carrying.model.pool, user_id, 1)
        await write(older, user_id, 2)
    await settle(relay)
    assert carrying.stream.versions(user_id) == [1, 2]


async def test_what_was_rolled_back_is_not_carried(carrying: Carrying) -> None:
    relay = await carrying.begun()
    user_id = user_in(1)
    async with carrying.model.pool.acquire() as connection:
        doomed = connection.transaction()
        await doomed.start()
        await write(connection, user_id, 1)
        await settle(relay)
        await doomed.rollback()
    await settle(relay)
    await write(carrying.model.pool, user_id, 1)
    await settle(relay)
    assert carrying.stream.versions(user_id) == [1]


async def test_many_writers_rollbacks_and_open_transactions_run_concurrently(
    carrying: Carrying,
) -> None:
    relay = await carrying.begun()
    busy = True
    held = user_in(2)

    async def carry() -> None:
        while busy:
            await relay.run_once()

    async with carrying.transaction() as slow:
        await write(slow, held, 1)
        carrier = asyncio.create_task(carry())
        users = await asyncio.gather(
            *[carrying.model.user(f"N{n}", f"n{n}@example.com") for n in range(6)]
        )
        refused = await asyncio.gather(*[_work(carrying.model, user_id) for user_id in users])
        await asyncio.gather(*[_hesitate(carrying, user_in(n)) for n in range(6)])
        busy = False
        await carrier
        await settle(relay)
        await carrying.assert_all_is_carried()
        assert sum(refused) > 0
        assert len(carrying.stream.all) > 100
    await settle(relay)
    assert carrying.stream.versions(held) == [1]
    await carrying.assert_all_is_carried()


async def _work(model: WriteModel, user_id: UserId) -> int:
    """Two writers of one user, and those who want its e-mail. How many were refused."""
    commands = [
        *[PlaceOrder(user_id=user_id, order_id=OrderId(new_id()), total=1) for _ in range(20)],
        *[
            UpdateUserEmail(user_id=user_id, email=parse_email(f"n{n}@example.com"))
            for n in range(6)
        ],
        create("N", "n1@example.com"),
    ]

    async def one_by_one(first: int) -> int:
        answers = [await model.store.execute(command) for command in commands[first::2]]
        return sum(isinstance(answer, Refusal) for answer in answers)

    return sum(await asyncio.gather(one_by_one(0), one_by_one(1)))


async def _hesitate(carrying: Carrying, user_id: UserId) -> None:
    """Transactions that leave time between their number, their events and their end."""
    for version in range(1, 6):
        async with carrying.transaction() as hesitant:
            await carrying.model.count("users")
            await write(hesitant, user_id, version)
            await carrying.model.count("orders")


async def test_a_pass_without_events_is_one_statement_for_all_partitions(
    database_url: str,
) -> None:
    async with proxy(database_url) as wire:
        settings = Settings(database_url=wire.url, database_connections=2)
        async with drivers.database(settings) as pool:
            carrying = Carrying(WriteModel(pool))
            relay = await carrying.begun()
            await write(pool, user_in(4), 1)
            await settle(relay)
            await settle(relay)
            wire.asked.clear()
            assert not await relay.run_once()
            assert wire.asked.total() == 1


@pytest.mark.parametrize(
    ("metadata", "texts"),
    [('{"n": 1, "command": "RenameUser"}', {"command": "RenameUser"}), ("[]", {}), ("3", {})],
)
async def test_of_metadata_of_another_shape_the_texts_travel(
    carrying: Carrying, metadata: str, texts: dict[str, str]
) -> None:
    relay = await carrying.begun()
    user_id = user_in(3)
    await write(carrying.model.pool, user_id, 1)
    await carrying.model.pool.execute("update events set metadata = $1::text::jsonb", metadata)
    await settle(relay)
    assert carrying.stream.versions(user_id) == [1]
    [[envelope]] = [entries for entries in carrying.stream.entries.values() if entries]
    assert (envelope.user_id, envelope.metadata) == (user_id, texts)
