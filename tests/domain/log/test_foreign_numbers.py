"""A log restored from a server with higher transaction numbers, while this server comes to those numbers."""

from __future__ import annotations

import pytest

from domain.log import relay as module
from domain.log.relay_log import RelayLog
from tests.domain.log.relay_harness import RelayHarness, settle, user_in, write

LIMIT = 4


async def test_a_restored_event_whose_number_a_transaction_has_now_rebuilds_nothing(
    harness: RelayHarness,
) -> None:
    """The row is visible, though the snapshot says of its number that it is still running."""
    pool = harness.model.pool
    await write(pool, user_in(3), 1)
    await pool.execute("""
        update events set xid = (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 20)::text::xid8
    """)
    relay = harness.relay(inspection_interval_seconds=0.0)
    await settle(relay)
    foreign = int(await pool.fetchval("select xid::text from events"))
    while await pool.fetchval("select pg_current_xact_id()::text::bigint") < foreign - 1:
        pass
    async with harness.transaction() as running:
        number = await running.fetchval("select pg_current_xact_id()::text::bigint")
        assert number == foreign
        await write(pool, user_in(3), 1)
        await settle(relay)
    await settle(relay)
    assert harness.stream.resets == [*range(8)]
    assert len(harness.stream.all) == len(set(harness.stream.all))


async def test_a_backlog_after_a_restore_is_read_from_above_the_restored_events(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_APPEND_EVENTS", LIMIT)
    floors: list[int] = []
    floor = RelayLog.position_before

    async def noted(*arguments: object) -> int:
        floors.append(await floor(*arguments))  # type: ignore[arg-type]
        return floors[-1]

    monkeypatch.setattr(RelayLog, "position_before", noted)
    pool = harness.model.pool
    for _ in range(10):
        await write(pool, user_in(3), 1)
    await pool.execute("update events set xid = (xid::text::bigint + 1000000)::text::xid8")
    relay = await harness.started()
    restored = await pool.fetchval("select max(position) from events")
    user_id = user_in(3)
    for version in range(1, 3 * LIMIT):
        await write(pool, user_id, version)
    await settle(relay)
    assert floors == [restored]
    assert harness.stream.versions(user_id) == list(range(1, 3 * LIMIT))
