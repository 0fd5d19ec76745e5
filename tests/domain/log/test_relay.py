"""The relay loses nothing, carries nothing twice, keeps each user's order and waits for no transaction."""

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
from tests.domain.log.relay_harness import RelayHarness, settle, user_in, write
from tests.domain.write_model import WriteModel, create


async def test_what_was_written_is_carried_once(harness: RelayHarness) -> None:
    relay = await harness.started()
    user_id = await harness.model.user()
    await harness.model.order(user_id)
    await settle(relay)
    await settle(relay)
    assert harness.stream.versions(user_id) == [1, 2]
    await harness.assert_all_is_published()


async def test_a_pass_that_finds_nothing_appends_nothing(harness: RelayHarness) -> None:
    relay = await harness.started()
    before = dict(harness.stream.encoded_cursors)
    assert not await relay.run_once()
    assert harness.stream.encoded_cursors == before


async def test_what_was_written_before_a_stream_began_is_left_to_a_rebuild(
    harness: RelayHarness,
) -> None:
    before = await harness.model.user()
    relay = await harness.started()
    after = await harness.model.user("Bob", "bob@example.com")
    await settle(relay)
    assert harness.stream.versions(before) == []
    assert harness.stream.versions(after) == [1]


async def test_what_was_open_when_a_stream_began_is_carried_when_it_commits(
    harness: RelayHarness,
) -> None:
    user_id = user_in(0)
    async with harness.transaction() as slow:
        await write(slow, user_id, 1)
        relay = await harness.started()
    await settle(relay)
    assert harness.stream.versions(user_id) == [1]


async def test_an_open_transaction_holds_no_other_event_back(harness: RelayHarness) -> None:
    relay = await harness.started()
    mine, other = user_in(3), user_in(3)
    async with harness.transaction() as slow:
        await write(slow, other, 1)
        for version in range(1, 4):
            await write(harness.model.pool, mine, version)
            await relay.run_once()
            assert len(harness.stream.versions(mine)) == version
        assert harness.stream.versions(other) == []
    await settle(relay)
    await harness.assert_all_is_published()


async def test_what_commits_late_is_not_lost_though_its_position_and_number_are_low(
    harness: RelayHarness,
) -> None:
    relay = await harness.started()
    late, early = user_in(3), user_in(3)
    async with harness.transaction() as slow:
        await write(slow, late, 1)
        for version in range(1, 4):
            await write(harness.model.pool, early, version)
        await settle(relay)
    await settle(relay)
    assert harness.stream.versions(late) == [1]
    await harness.assert_all_is_published()


async def test_many_that_were_open_at_different_times_are_all_carried_once(
    harness: RelayHarness,
) -> None:
    relay = await harness.started()
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        stacks = [first, second]
        for number in range(12):
            slow = await stacks[number % 2].enter_async_context(harness.transaction())
            await write(slow, user_in(number % 3), 1)
            await write(harness.model.pool, user_in(number % 3), 1)
            await settle(relay)
        await first.aclose()
        await settle(relay)
        await harness.assert_all_is_published()
    await settle(relay)
    assert len(harness.stream.all) == 24
    await harness.assert_all_is_published()


async def test_a_user_keeps_its_order_though_the_later_transaction_has_the_lower_number(
    harness: RelayHarness,
) -> None:
    relay = await harness.started()
    user_id = user_in(5)
    async with harness.transaction() as older:
        await write(harness.model.pool, user_id, 1)
        await write(older, user_id, 2)
    await settle(relay)
    assert harness.stream.versions(user_id) == [1, 2]


async def test_what_was_rolled_back_is_not_carried(harness: RelayHarness) -> None:
    relay = await harness.started()
    user_id = user_in(1)
    async with harness.model.pool.acquire() as connection:
        doomed = connection.transaction()
        await doomed.start()
        await write(connection, user_id, 1)
        await settle(relay)
        await doomed.rollback()
    await settle(relay)
    await write(harness.model.pool, user_id, 1)
    await settle(relay)
    assert harness.stream.versions(user_id) == [1]


async def test_many_writers_rollbacks_and_open_transactions_run_concurrently(
    harness: RelayHarness,
) -> None:
    relay = await harness.started()
    busy = True
    held = user_in(2)

    async def carry() -> None:
        while busy:
            await relay.run_once()

    async with harness.transaction() as slow:
        await write(slow, held, 1)
        carrier = asyncio.create_task(carry())
        users = await asyncio.gather(
            *[harness.model.user(f"N{n}", f"n{n}@example.com") for n in range(6)]
        )
        refused = await asyncio.gather(*[_work(harness.model, user_id) for user_id in users])
        await asyncio.gather(*[_hesitate(harness, user_in(n)) for n in range(6)])
        busy = False
        await carrier
        await settle(relay)
        await harness.assert_all_is_published()
        assert sum(refused) > 0
        assert len(harness.stream.all) > 100
    await settle(relay)
    assert harness.stream.versions(held) == [1]
    await harness.assert_all_is_published()


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


async def _hesitate(harness: RelayHarness, user_id: UserId) -> None:
    """Transactions that leave time between their number, their events and their end."""
    for version in range(1, 6):
        async with harness.transaction() as hesitant:
            await harness.model.count("users")
            await write(hesitant, user_id, version)
            await harness.model.count("orders")


async def test_a_pass_without_events_is_one_statement_for_all_partitions(
    database_url: str,
) -> None:
    async with proxy(database_url) as wire:
        settings = Settings(database_url=wire.url, database_connections=2)
        async with drivers.database(settings) as pool:
            harness = RelayHarness(WriteModel(pool))
            relay = await harness.started()
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
    harness: RelayHarness, metadata: str, texts: dict[str, str]
) -> None:
    relay = await harness.started()
    user_id = user_in(3)
    await write(harness.model.pool, user_id, 1)
    await harness.model.pool.execute("update events set metadata = $1::text::jsonb", metadata)
    await settle(relay)
    assert harness.stream.versions(user_id) == [1]
    [[envelope]] = [entries for entries in harness.stream.entries.values() if entries]
    assert (envelope.aggregate_id, envelope.metadata) == (user_id, texts)
