"""Streams that begin again while other relays append to them, and while PostgreSQL restarts."""

from __future__ import annotations

import pytest

from domain.log import relay as relays
from domain.log.cursor import Bounds, Cursor, Snapshot, Window
from domain.log.relay_log import Entry, RelayLog
from tests.domain.log.relay_harness import RelayHarness, settle, user_in, write
from tests.limited import limited

USER = user_in(3)

summary = RelayLog.summary
page = RelayLog.page


async def test_streams_begin_again_on_demand_while_a_busy_relay_appends(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading all of a log takes longer than such a relay takes to move its cursor."""
    relay = await harness.started()

    async def slow(log: RelayLog, partition: int, until: Snapshot) -> tuple[Window, Bounds]:
        found = await summary(log, partition, until)
        await write(harness.model.pool, user_in(partition), 1)
        await settle(relay)
        return found

    monkeypatch.setattr(RelayLog, "summary", slow)
    async with limited(10):
        await harness.relay().restart_streams()
    monkeypatch.undo()
    assert harness.stream.resets == [*range(8), *range(8)]
    await settle(relay)
    await settle(harness.relay())
    assert harness.stream.resets == [*range(8), *range(8)]


async def test_a_stream_begins_in_the_era_in_which_its_log_was_read(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    restarts = iter([True, False])

    async def restarted(log: RelayLog, partition: int, until: Snapshot) -> tuple[Window, Bounds]:
        found = await summary(log, partition, until)
        if next(restarts, False):
            await harness.model.pool.execute("select pg_stat_reset_shared('bgwriter')")
        return found

    monkeypatch.setattr(RelayLog, "summary", restarted)
    await settle(harness.relay())
    _, era = await RelayLog(harness.model.pool).current_snapshot()
    assert {Cursor.decode(raw).server_epoch for raw in harness.stream.encoded_cursors.values()} == {
        era
    }


async def test_a_page_that_was_read_after_a_restart_is_read_again(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "MAX_APPEND_EVENTS", 4)
    relay = await harness.started()
    for version in range(1, 10):
        await write(harness.model.pool, USER, version)
    read: list[int] = []

    async def restarted(log: RelayLog, partition: int, window: Window, limit: int) -> list[Entry]:
        if not read:
            await harness.model.pool.execute("select pg_stat_reset_shared('bgwriter')")
        read.append(len(harness.stream.all))
        return await page(log, partition, window, limit)

    monkeypatch.setattr(RelayLog, "page", restarted)
    await settle(relay)
    assert read[:2] == [0, 0]
    await harness.assert_all_is_published()
