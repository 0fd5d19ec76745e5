"""PostgreSQL restarts, crashes and goes back in time: its numbers may come again, its events may be gone."""

from __future__ import annotations

import os
from contextlib import suppress
from signal import SIGKILL

import asyncpg
import msgspec
import pytest

from domain.log import relay as module
from domain.log.cursor import Cursor, Snapshot
from domain.log.relay_log import RelayLog
from tests.domain.log.relay_harness import RelayHarness, settle, user_in, write
from tests.limited import limited

FAR = 1_000_000
"""Transactions that left no trace, so that their numbers come again after a crash."""


def from_before_a_crash(cursor: Cursor) -> Cursor:
    """As the cursor was if many had come and gone before the crash without a trace."""
    page = cursor.page
    return msgspec.structs.replace(
        cursor,
        server_epoch="another",
        snapshot=_later(cursor.snapshot),
        page=page and msgspec.structs.replace(page, until=_later(page.until)),
    )


def _later(snapshot: Snapshot) -> Snapshot:
    return Snapshot(snapshot.xmax + FAR, snapshot.running)


async def test_after_a_restart_nothing_is_lost_though_numbers_come_again(
    harness: RelayHarness,
) -> None:
    relay = await harness.started()
    user_id = user_in(3)
    await write(harness.model.pool, user_id, 1)
    await settle(relay)
    harness.stream.alter(from_before_a_crash)
    relay = harness.relay()
    await write(harness.model.pool, user_id, 2)
    await settle(relay)
    await write(harness.model.pool, user_id, 3)
    await settle(relay)
    assert harness.stream.versions(user_id) == [1, 2, 3]
    assert harness.stream.resets == [*range(8)]


async def test_a_relay_that_lives_through_a_restart_loses_nothing(harness: RelayHarness) -> None:
    relay = await harness.started(verify_interval_seconds=0)
    user_id = user_in(3)
    await write(harness.model.pool, user_id, 1)
    await settle(relay)
    harness.stream.alter(from_before_a_crash)
    for version in (2, 3):
        await write(harness.model.pool, user_id, version)
        await settle(relay)
    assert harness.stream.versions(user_id) == [1, 2, 3]


async def test_a_stream_that_began_before_the_restart_and_carried_nothing_loses_nothing(
    harness: RelayHarness,
) -> None:
    user_id = user_in(3)
    await write(harness.model.pool, user_id, 1)
    await harness.started()
    harness.stream.alter(from_before_a_crash)
    await write(harness.model.pool, user_id, 2)
    await settle(harness.relay())
    assert harness.stream.versions(user_id) == [2]
    assert harness.stream.resets == [*range(8)]


async def test_a_page_under_way_at_a_restart_is_carried_to_its_end(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_APPEND_EVENTS", 4)
    relay = await harness.started()
    user_id = user_in(3)
    for version in range(1, 20):
        await write(harness.model.pool, user_id, version)
    await relay.run_once()
    assert Cursor.decode(harness.stream.encoded_cursors[3]).page is not None
    harness.stream.alter(from_before_a_crash)
    await write(harness.model.pool, user_id, 20)
    await settle(harness.relay())
    versions = harness.stream.versions(user_id)
    assert versions[-20:] == list(range(1, 21))  # twice is allowed here: the version gate drops it


async def test_a_backlog_that_was_carried_in_pages_is_recognised_after_a_restart(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_APPEND_EVENTS", 4)
    relay = await harness.started()
    user_id = user_in(3)
    for version in range(1, 12):
        await write(harness.model.pool, user_id, version)
    await settle(relay)
    harness.stream.alter(from_before_a_crash)
    await settle(harness.relay())
    assert harness.stream.resets == [*range(8)]
    await harness.assert_all_is_published()


async def test_what_is_open_while_a_page_is_taken_up_after_a_restart_is_not_lost(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_APPEND_EVENTS", 4)
    relay = await harness.started()
    for version in range(1, 20):
        await write(harness.model.pool, user_in(3), version)
    await relay.run_once()
    harness.stream.alter(from_before_a_crash)
    relay, late = harness.relay(), user_in(3)
    async with harness.transaction() as slow:
        await write(slow, late, 1)
        await write(harness.model.pool, user_in(3), 1)
        while Cursor.decode(harness.stream.encoded_cursors[3]).page is not None:
            await relay.run_once()
    await settle(relay)
    assert harness.stream.versions(late) == [1]


async def test_a_log_restored_to_an_earlier_state_restarts_its_stream(
    harness: RelayHarness,
) -> None:
    relay = await harness.started()
    gone, kept = user_in(3), user_in(6)
    for version in (1, 2):
        await write(harness.model.pool, gone, version)
        await write(harness.model.pool, kept, version)
        await settle(relay)
    await harness.model.pool.execute("delete from events where user_id = $1 and version = 2", gone)
    harness.stream.alter(from_before_a_crash)
    relay = harness.relay()
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3]
    assert harness.stream.versions(gone) == []
    assert harness.stream.versions(kept) == [1, 2]
    await write(harness.model.pool, gone, 2)
    await settle(relay)
    assert harness.stream.versions(gone) == [2]


@pytest.mark.parametrize(
    "otherwise",
    [f"user_id = '{user_in(3)}'", "occurred_at = occurred_at + interval '1 microsecond'"],
    ids=["another user", "the same user at another time"],
)
async def test_a_log_restored_and_filled_again_at_the_same_positions_restarts_its_stream(
    harness: RelayHarness, otherwise: str
) -> None:
    relay = await harness.started()
    await write(harness.model.pool, user_in(3), 1)
    await settle(relay)
    await harness.model.pool.execute(f"update events set {otherwise}")
    harness.stream.alter(from_before_a_crash)
    await settle(harness.relay())
    assert harness.stream.resets == [*range(8), 3]


async def test_a_log_restored_into_a_server_with_lower_numbers_restarts_its_streams(
    harness: RelayHarness,
) -> None:
    """A dump keeps the numbers of the server it was taken from, which this one has not reached."""
    relay = await harness.started()
    user_id = user_in(3)
    await write(harness.model.pool, user_id, 1)
    await settle(relay)
    await harness.model.pool.execute(f"""
        update events set xid = (xid::text::bigint + {FAR})::text::xid8
    """)
    harness.stream.alter(of_another_server)
    relay = harness.relay()
    await settle(relay)
    assert harness.stream.resets == [*range(8), 3]
    for version in (2, 3):
        await write(harness.model.pool, user_id, version)
        await settle(relay)
        assert not await relay.run_once()
    assert harness.stream.versions(user_id) == [2, 3]


def of_another_server(cursor: Cursor) -> Cursor:
    cursor = from_before_a_crash(cursor)
    last = cursor.last_window
    return msgspec.structs.replace(
        cursor,
        max_xid=cursor.max_xid and cursor.max_xid + FAR,
        last_window=last and msgspec.structs.replace(last, until=_later(last.until)),
    )


async def test_a_log_restored_to_before_the_start_of_its_stream_restarts_it(
    harness: RelayHarness,
) -> None:
    await write(harness.model.pool, user_in(3), 1)
    await harness.started()
    await harness.model.pool.execute("delete from events")
    harness.stream.alter(from_before_a_crash)
    await settle(harness.relay())
    assert harness.stream.resets == [*range(8), 3]


async def test_a_log_restored_in_the_middle_of_a_page_restarts_its_stream(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_APPEND_EVENTS", 4)
    relay = await harness.started()
    user_id = user_in(3)
    for version in range(1, 20):
        await write(harness.model.pool, user_id, version)
    await relay.run_once()
    await relay.run_once()
    await harness.model.pool.execute("delete from events where version > 6")
    harness.stream.alter(from_before_a_crash)
    await settle(harness.relay())
    assert harness.stream.resets == [*range(8), 3]


async def crash(pool: asyncpg.Pool) -> None:
    """One backend is killed, so the server ends all others and recovers; its postmaster lives on."""
    async with pool.acquire() as witness:
        victim = await pool.fetchval("select pg_backend_pid()")
        os.kill(victim, SIGKILL)
        async with limited(60):
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                while True:
                    await witness.execute("select")
            while not await _answers(pool):
                pass


async def _answers(pool: asyncpg.Pool) -> bool:
    try:
        await pool.execute("select")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True


async def test_a_server_that_crashed_and_recovered_is_another_era(harness: RelayHarness) -> None:
    log = RelayLog(harness.model.pool)
    _, before = await log.current_snapshot()
    _, still = await log.current_snapshot()
    await crash(harness.model.pool)
    _, after = await log.current_snapshot()
    assert before == still != after


async def test_a_crash_that_gives_numbers_back_loses_nothing(harness: RelayHarness) -> None:
    relay = await harness.started()
    pool, user_id = harness.model.pool, user_in(3)
    async with harness.transaction() as durable:
        await durable.execute("set local synchronous_commit = on")
        await write(durable, user_id, 1)
    for _ in range(100):
        async with harness.transaction():
            pass  # a number that leaves its trace later, if at all
    await settle(relay)
    await crash(pool)
    for version in (2, 3, 4):
        await write(pool, user_id, version)
        await settle(relay)
    assert harness.stream.versions(user_id) == [1, 2, 3, 4]
