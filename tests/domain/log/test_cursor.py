"""Snapshots as PostgreSQL writes them, and how the cursor moves from one to the next."""

from __future__ import annotations

import asyncpg
import msgspec
import pytest

from domain.log.cursor import Bounds, Cursor, Snapshot, Window

SINCE, UNTIL = Snapshot(10), Snapshot(20, (15, 17))
CURSOR = Cursor(server_epoch="monday", snapshot=SINCE, max_xid=9)


@pytest.mark.parametrize(
    ("text", "snapshot"),
    [
        ("1:1:", Snapshot(1)),
        ("10:20:10,14,15", Snapshot(20, (10, 14, 15))),
        ("9:18446744073709551615:9", Snapshot(18446744073709551615, (9,))),
    ],
)
def test_a_snapshot_reads_what_it_writes(text: str, snapshot: Snapshot) -> None:
    assert Snapshot.parse(text) == snapshot
    assert str(snapshot) == text


async def test_a_snapshot_of_a_server_is_written_back_as_it_was(database_url: str) -> None:
    holding, looking = [await asyncpg.connect(database_url) for _ in range(2)]
    try:
        async with holding.transaction():
            running = int(await holding.fetchval("select pg_current_xact_id()"))
            await looking.execute("select pg_current_xact_id()")
            text = await looking.fetchval("select pg_current_snapshot()::text")
            snapshot = Snapshot.parse(text)
            assert snapshot.running == (running,)
            assert snapshot.xmax > running + 1
            assert str(snapshot) == text
            again = await looking.fetchval("select $1::text::pg_snapshot::text", str(snapshot))
            assert again == text
    finally:
        await holding.close()
        await looking.close()


@pytest.mark.parametrize(
    ("top", "cut"),
    [
        (30, Snapshot(20, (15, 17))),
        (19, Snapshot(20, (15, 17))),
        (16, Snapshot(17, (15,))),
        (15, Snapshot(16, (15,))),
        (14, Snapshot(15)),
        (0, Snapshot(1)),
    ],
)
def test_a_truncated_snapshot_has_no_transactions_above_the_maximum(
    top: int, cut: Snapshot
) -> None:
    assert UNTIL.truncate(top) == cut


def test_a_closed_window_moves_the_cursor_to_its_end() -> None:
    window = Window(since=SINCE, until=UNTIL, position=7, count=2, max_xid=18)
    assert CURSOR.advance(window, closed=True) == Cursor(
        server_epoch="monday", snapshot=UNTIL, max_xid=18, last_window=window
    )


def test_an_open_window_becomes_the_page_and_changes_nothing_else() -> None:
    window = Window(since=SINCE, until=UNTIL, position=7, count=2, max_xid=18)
    assert CURSOR.advance(window, closed=False) == Cursor(
        server_epoch="monday", snapshot=SINCE, max_xid=9, page=window
    )


def test_a_window_without_events_keeps_the_last_that_had_some() -> None:
    full = CURSOR.advance(
        Window(since=SINCE, until=UNTIL, position=7, count=2, max_xid=18), closed=True
    )
    after = full.advance(Window(since=UNTIL, until=Snapshot(30)), closed=True)
    assert (after.snapshot, after.last_window, after.max_xid) == (
        Snapshot(30),
        full.last_window,
        18,
    )


def test_after_a_restart_a_cursor_trusts_its_snapshot_up_to_its_last_appended_transaction() -> None:
    window = Window(since=SINCE, until=UNTIL, position=7, count=2, max_xid=16)
    reborn = CURSOR.advance(window, closed=True).after_restart("tuesday")
    assert (reborn.server_epoch, reborn.snapshot) == ("tuesday", Snapshot(17, (15,)))
    assert CURSOR.advance(window, closed=False).after_restart("tuesday").page is None


def test_a_cursor_reads_what_it_writes() -> None:
    window = Window(since=SINCE, until=UNTIL, position=7, count=2, max_xid=18)
    for cursor in (CURSOR, CURSOR.advance(window, closed=False)):
        assert Cursor.decode(cursor.encode()) == cursor


def test_a_cursor_is_stored_with_the_field_names_of_earlier_versions() -> None:
    window = Window(
        since=SINCE, until=UNTIL, position=7, count=2, checksum=5, max_xid=18, min_xid=11
    )
    cursor = msgspec.structs.replace(
        CURSOR, last_window=window, earlier_windows=(window,), bounds=Bounds(UNTIL, 7, 1)
    )
    stored = msgspec.json.decode(cursor.encode())
    assert set(stored) == {"era", "snapshot", "top", "page", "last", "earlier", "log", "mark"}
    names = {"since", "until", "position", "count", "marks", "top", "bottom"}
    assert set(stored["last"]) == set(stored["earlier"][0]) == names
    assert set(stored["mark"]) == {"snapshot", "position", "lowest"}
