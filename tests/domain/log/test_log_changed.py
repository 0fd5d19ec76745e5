"""The log is changed by something other than an append, while the relay runs: its streams begin again."""

from __future__ import annotations

import msgspec
import pytest

from domain.log import cursor as cursors
from domain.log.cursor import Cursor
from domain.log.relay import Relay
from tests.domain.log.relay_harness import RelayHarness, settle, user_in, write

FAR = 1_000_000
"""Transactions that this server has not come to."""

COPY = "create table kept as select * from events where version <= 2"


@pytest.fixture
async def relay(harness: RelayHarness) -> Relay:
    """One that inspects the log in each pass, and has carried four events of a user in partition 3."""
    relay = harness.relay(inspection_interval_seconds=0.0)
    await settle(relay)
    user_id = user_in(3)
    for version in range(1, 5):
        await write(harness.model.pool, user_id, version)
        await settle(relay)
    assert harness.stream.resets == [*range(8)]
    return relay


async def put_back(harness: RelayHarness) -> None:
    await harness.model.pool.execute("""
        insert into events overriding system value select * from kept
    """)


@pytest.mark.parametrize(
    "change",
    [
        "delete from events where version > 2",
        "delete from events where version = 4",
        "delete from events",
        "truncate events",
        "update events set occurred_at = occurred_at + interval '1 second' where version = 4",
    ],
)
async def test_events_that_were_carried_and_are_lost_begin_the_stream_again(
    harness: RelayHarness, relay: Relay, change: str
) -> None:
    await harness.model.pool.execute(change)
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3]


async def test_a_table_that_was_truncated_and_filled_from_a_dump_begins_the_stream_again(
    harness: RelayHarness, relay: Relay
) -> None:
    await harness.model.pool.execute(f"{COPY}; truncate events")
    await put_back(harness)
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3]


async def test_a_table_that_was_dropped_and_restored_as_it_was_is_no_other_log(
    harness: RelayHarness, relay: Relay
) -> None:
    await harness.model.pool.execute("""
        create table restored (like events including all);
        insert into restored overriding system value select * from events;
        drop table events; alter table restored rename to events
    """)
    await settle(relay)
    assert harness.stream.resets == [*range(8)]


async def test_a_table_that_was_dropped_and_restored_without_its_tail_begins_the_stream_again(
    harness: RelayHarness, relay: Relay
) -> None:
    await harness.model.pool.execute("""
        create table restored (like events including all);
        insert into restored overriding system value select * from events where version < 4;
        drop table events; alter table restored rename to events
    """)
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3]


@pytest.mark.parametrize(
    "command",
    [
        "vacuum full events",
        "reindex table events",
        "cluster events using events_pkey",
        "analyze events",
    ],
)
async def test_maintenance_of_the_table_rebuilds_nothing(
    harness: RelayHarness, relay: Relay, command: str
) -> None:
    await harness.model.pool.execute(command)
    await settle(relay)
    assert harness.stream.resets == [*range(8)]


async def test_an_erasure_rebuilds_nothing(harness: RelayHarness, relay: Relay) -> None:
    await harness.model.pool.execute("update events set data = '{}'")
    await settle(relay)
    assert harness.stream.resets == [*range(8)]


@pytest.mark.parametrize("ahead", [FAR, -5], ids=["a higher server", "a lower server"])
async def test_events_that_no_window_will_show_begin_the_stream_again(
    harness: RelayHarness, relay: Relay, ahead: int
) -> None:
    """They were written by another server: their numbers are in the future of this one, or in its past."""
    await write(harness.model.pool, user_in(3), 1)
    await harness.model.pool.execute(
        """
        update events set xid = (xid::text::bigint + $1)::text::xid8
        where position = (select max(position) from events)
        """,
        ahead,
    )
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3]
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3]


async def test_an_open_transaction_that_commits_late_begins_nothing_again(
    harness: RelayHarness, relay: Relay
) -> None:
    async with harness.transaction() as slow:
        await write(slow, user_in(3), 1)
        for version in (1, 2):
            await write(harness.model.pool, user_in(3), version)
            await settle(relay)
    await settle(relay)
    assert harness.stream.resets == [*range(8)]
    await harness.assert_all_is_published()


async def carried_in_another_order_than_written(harness: RelayHarness, relay: Relay) -> None:
    """Two events of partition 3: the one with the higher transaction number became visible first."""
    async with harness.transaction() as slow:
        await write(harness.model.pool, user_in(3), 7)
        await settle(relay)
        await write(slow, user_in(3), 8)
    await settle(relay)


async def test_a_failover_that_lost_what_became_visible_before_the_last_is_detected(
    harness: RelayHarness, relay: Relay
) -> None:
    await carried_in_another_order_than_written(harness, relay)
    await harness.model.pool.execute("delete from events where version = 7")
    harness.stream.alter(lambda cursor: msgspec.structs.replace(cursor, server_epoch="another"))
    await settle(harness.relay())
    assert harness.stream.resets == [*range(8), 3]


async def test_no_more_windows_are_kept_than_a_failover_can_lose(
    harness: RelayHarness, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def positions() -> list[int]:
        return [
            window.position
            for window in Cursor.decode(harness.stream.encoded_cursors[3]).earlier_windows
        ]

    assert positions() == [1, 3]
    monkeypatch.setattr(cursors, "MAX_IN_FLIGHT_TRANSACTIONS", 2)
    kept = []
    for version in range(5, 10):
        await write(harness.model.pool, user_in(3), version)
        await settle(relay)
        kept.append(positions())
    assert kept == [[3, 4], [3, 5], [5, 6], [5, 7], [7, 8]]
    await settle(harness.relay())
    assert harness.stream.resets == [*range(8)]


async def test_a_relay_that_lost_a_race_compares_again_immediately(
    harness: RelayHarness, relay: Relay
) -> None:
    """The other relay has not compared yet, and appends between the comparison and the reset."""
    await harness.model.pool.execute("delete from events where version > 2")
    reset, overtaken = harness.stream.reset, harness.relay()

    async def once_overtaken(partition: int, expected: bytes | None, cursor: bytes) -> bool:
        harness.stream.reset = reset  # type: ignore[method-assign]
        harness.stream.alter(
            lambda cursor: msgspec.structs.replace(cursor, max_xid=cursor.max_xid + 1)
        )
        return await reset(partition, expected, cursor)

    harness.stream.reset = once_overtaken  # type: ignore[method-assign]
    await settle(overtaken)
    assert harness.stream.resets == [*range(8), 3]


@pytest.mark.parametrize("version", range(1, 7))
async def test_the_loss_of_any_of_several_concurrent_transactions_is_detected(
    harness: RelayHarness, version: int
) -> None:
    relay = harness.relay()
    await settle(relay)
    opened = [harness.transaction() for _ in range(6)]
    for number, transaction in enumerate(opened, start=1):
        await write(await transaction.__aenter__(), user_in(3), number)
    for transaction in opened:
        await transaction.__aexit__(None, None, None)
        await settle(relay)
    await settle(harness.relay())
    assert harness.stream.resets == [*range(8)]
    await harness.model.pool.execute("delete from events where version = $1", version)
    await settle(harness.relay())
    assert harness.stream.resets == [*range(8), 3]


async def test_a_cursor_of_an_earlier_version_of_the_code_is_continued(
    harness: RelayHarness, relay: Relay
) -> None:
    harness.stream.alter(
        lambda cursor: msgspec.structs.replace(cursor, log=None, bounds=None, earlier_windows=())
    )
    await write(harness.model.pool, user_in(3), 1)
    await settle(harness.relay())
    assert harness.stream.resets == [*range(8)]
    await harness.assert_all_is_published()
    assert Cursor.decode(harness.stream.encoded_cursors[3]).log is not None
