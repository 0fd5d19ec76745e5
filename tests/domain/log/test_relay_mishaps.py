"""Two relays, lost replies and lost cursors: the compare in front of the append makes them harmless."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from domain.log.cursor import Cursor
from tests.domain.log.relay_harness import Carrying, settle, user_in, write


async def test_a_relay_whose_cursor_was_moved_by_another_reads_it_and_continues(
    carrying: Carrying,
) -> None:
    first, second = await carrying.begun(), await carrying.begun()
    user_id = user_in(3)
    await write(carrying.model.pool, user_id, 1)
    await settle(first)
    await write(carrying.model.pool, user_id, 2)
    await settle(second)
    assert carrying.stream.lost == [3]
    assert [(relay.appended, relay.lost_races) for relay in (first, second)] == [(1, 0), (1, 1)]
    await carrying.assert_all_is_carried()


async def test_a_relay_that_lost_reads_on_from_where_the_other_is(carrying: Carrying) -> None:
    first, second = await carrying.begun(), await carrying.begun()
    for version in range(1, 9):
        await write(carrying.model.pool, user_in(3), 1)
        await settle((first, second)[version % 2])
        await settle((second, first)[version % 2])
    await carrying.assert_all_is_carried()


async def test_two_concurrent_relays_publish_everything_once(carrying: Carrying) -> None:
    relays = [await carrying.begun(verify_interval_seconds=0), await carrying.begun()]
    users = [user_in(partition) for partition in (0, 0, 3, 7)]
    chance = Random(7)
    for version in range(1, 30):
        for user_id in users:
            await write(carrying.model.pool, user_id, version)
        await asyncio.gather(*[relay.run_once() for relay in chance.sample(relays, 2)])
    for relay in relays:
        await settle(relay)
    assert carrying.stream.lost
    await carrying.assert_all_is_carried()


async def test_an_append_whose_reply_was_lost_is_not_repeated(carrying: Carrying) -> None:
    relay = await carrying.begun()
    user_id = user_in(3)
    await write(carrying.model.pool, user_id, 1)

    def lose() -> None:
        carrying.stream.replying = lambda: None
        raise ConnectionResetError

    carrying.stream.replying = lose
    with pytest.raises(ConnectionResetError):
        await relay.run_once()
    await settle(relay)
    await write(carrying.model.pool, user_id, 2)
    await settle(relay)
    assert carrying.stream.versions(user_id) == [1, 2]
    assert carrying.stream.lost == []


async def test_a_missing_cursor_is_detected_and_its_stream_restarts(
    carrying: Carrying,
) -> None:
    relay = await carrying.begun(verify_interval_seconds=0)
    user_id = user_in(3)
    await write(carrying.model.pool, user_id, 1)
    await settle(relay)
    del carrying.stream.kept[3]
    await settle(relay)
    assert carrying.stream.begun == [*range(8), 3]
    assert carrying.stream.versions(user_id) == []
    await write(carrying.model.pool, user_id, 2)
    await settle(relay)
    assert carrying.stream.versions(user_id) == [2]


async def test_a_cursor_that_vanished_is_noticed_by_the_next_append_at_the_latest(
    carrying: Carrying,
) -> None:
    relay = await carrying.begun()
    del carrying.stream.kept[3]
    await write(carrying.model.pool, user_in(3), 1)
    await settle(relay)
    assert carrying.stream.begun == [*range(8), 3]
    assert carrying.stream.lost == [3]


async def test_a_stream_that_was_rolled_back_is_carried_on_from_there(carrying: Carrying) -> None:
    relay = await carrying.begun()
    user_id = user_in(3)
    await write(carrying.model.pool, user_id, 1)
    await settle(relay)
    backup = dict(carrying.stream.kept), list(carrying.stream.entries[3])
    await write(carrying.model.pool, user_id, 2)
    await settle(relay)
    carrying.stream.kept, carrying.stream.entries[3] = backup
    await write(carrying.model.pool, user_id, 3)
    await settle(relay)
    assert carrying.stream.versions(user_id) == [1, 2, 3]


async def test_an_unreadable_cursor_restarts_its_stream(carrying: Carrying) -> None:
    await carrying.begun()
    carrying.stream.kept[3] = b'{"era":"of another shape"}'
    relay = carrying.relay()
    await settle(relay)
    assert carrying.stream.begun == [*range(8), 3]
    await write(carrying.model.pool, user_in(3), 1)
    await settle(relay)
    await carrying.assert_all_is_carried()


async def test_a_stream_that_another_relay_began_meanwhile_is_not_begun_twice(
    carrying: Carrying,
) -> None:
    relays = [carrying.relay() for _ in range(3)]
    await asyncio.gather(*map(settle, relays))
    assert carrying.stream.begun == list(range(8))
    assert all(Cursor.decode(raw).page is None for raw in carrying.stream.kept.values())
