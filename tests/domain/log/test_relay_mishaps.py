"""Two relays, lost replies and lost cursors: the compare in front of the append makes them harmless."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from domain.log.cursor import Cursor
from tests.domain.log.relay_harness import RelayHarness, settle, user_in, write


async def test_a_relay_whose_cursor_was_moved_by_another_reads_it_and_continues(
    harness: RelayHarness,
) -> None:
    first, second = await harness.started(), await harness.started()
    user_id = user_in(3)
    await write(harness.model.pool, user_id, 1)
    await settle(first)
    await write(harness.model.pool, user_id, 2)
    await settle(second)
    assert harness.stream.lost_races == [3]
    assert [(relay.appended, relay.lost_races) for relay in (first, second)] == [(1, 0), (1, 1)]
    await harness.assert_all_is_published()


async def test_a_relay_that_lost_reads_on_from_where_the_other_is(harness: RelayHarness) -> None:
    first, second = await harness.started(), await harness.started()
    for version in range(1, 9):
        await write(harness.model.pool, user_in(3), 1)
        await settle((first, second)[version % 2])
        await settle((second, first)[version % 2])
    await harness.assert_all_is_published()


async def test_two_concurrent_relays_publish_everything_once(harness: RelayHarness) -> None:
    relays = [await harness.started(verify_interval_seconds=0), await harness.started()]
    users = [user_in(partition) for partition in (0, 0, 3, 7)]
    chance = Random(7)
    for version in range(1, 30):
        for user_id in users:
            await write(harness.model.pool, user_id, version)
        await asyncio.gather(*[relay.run_once() for relay in chance.sample(relays, 2)])
    for relay in relays:
        await settle(relay)
    assert harness.stream.lost_races
    await harness.assert_all_is_published()


async def test_an_append_whose_reply_was_lost_is_not_repeated(harness: RelayHarness) -> None:
    relay = await harness.started()
    user_id = user_in(3)
    await write(harness.model.pool, user_id, 1)

    def lose() -> None:
        harness.stream.replying = lambda: None
        raise ConnectionResetError

    harness.stream.replying = lose
    with pytest.raises(ConnectionResetError):
        await relay.run_once()
    await settle(relay)
    await write(harness.model.pool, user_id, 2)
    await settle(relay)
    assert harness.stream.versions(user_id) == [1, 2]
    assert harness.stream.lost_races == []


async def test_a_missing_cursor_is_detected_and_its_stream_restarts(
    harness: RelayHarness,
) -> None:
    relay = await harness.started(verify_interval_seconds=0)
    user_id = user_in(3)
    await write(harness.model.pool, user_id, 1)
    await settle(relay)
    del harness.stream.encoded_cursors[3]
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3]
    assert harness.stream.versions(user_id) == []
    await write(harness.model.pool, user_id, 2)
    await settle(relay)
    assert harness.stream.versions(user_id) == [2]


async def test_a_cursor_that_vanished_is_noticed_by_the_next_append_at_the_latest(
    harness: RelayHarness,
) -> None:
    relay = await harness.started()
    del harness.stream.encoded_cursors[3]
    await write(harness.model.pool, user_in(3), 1)
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3]
    assert harness.stream.lost_races == [3]


async def test_a_stream_that_was_rolled_back_is_carried_on_from_there(
    harness: RelayHarness,
) -> None:
    relay = await harness.started()
    user_id = user_in(3)
    await write(harness.model.pool, user_id, 1)
    await settle(relay)
    backup = dict(harness.stream.encoded_cursors), list(harness.stream.entries[3])
    await write(harness.model.pool, user_id, 2)
    await settle(relay)
    harness.stream.encoded_cursors, harness.stream.entries[3] = backup
    await write(harness.model.pool, user_id, 3)
    await settle(relay)
    assert harness.stream.versions(user_id) == [1, 2, 3]


async def test_an_unreadable_cursor_restarts_its_stream(harness: RelayHarness) -> None:
    await harness.started()
    harness.stream.encoded_cursors[3] = b'{"era":"of another shape"}'
    relay = harness.relay()
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3]
    await write(harness.model.pool, user_in(3), 1)
    await settle(relay)
    await harness.assert_all_is_published()


async def test_a_stream_that_another_relay_began_meanwhile_is_not_begun_twice(
    harness: RelayHarness,
) -> None:
    relays = [harness.relay() for _ in range(3)]
    await asyncio.gather(*map(settle, relays))
    assert harness.stream.resets == list(range(8))
    assert all(Cursor.decode(raw).page is None for raw in harness.stream.encoded_cursors.values())
