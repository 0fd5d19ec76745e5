"""The cursor names the log that it was read from, and a relay of another log does not go on from it."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import msgspec
import pytest

from domain.log.cursor import Cursor
from domain.log.log_identity import (
    UNKNOWN_SERVER,
    ForeignLog,
    LogIdentity,
    Relation,
    compare_identities,
    read_log_identity,
)
from tests.domain.log.relay_harness import RelayHarness, settle, user_in, write

ANOTHER = UUID(int=7)
GONE = 4_000_000_000
"""An object identifier that nothing has."""
OTHER = -1
"""Stands for the table of a second log in the same database."""


async def identity(harness: RelayHarness) -> LogIdentity:
    async with harness.model.pool.acquire() as connection:
        return await read_log_identity(connection)


def carried_from(harness: RelayHarness, log: LogIdentity) -> None:
    harness.stream.alter(lambda cursor: msgspec.structs.replace(cursor, log=log))


async def test_a_cursor_names_its_log(harness: RelayHarness) -> None:
    await harness.started()
    ours = await identity(harness)
    assert {Cursor.decode(raw).log for raw in harness.stream.encoded_cursors.values()} == {ours}


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({}, Relation.SAME),
        ({"log": ANOTHER}, Relation.REPLACED),
        ({"server": 1}, Relation.FOREIGN),
        ({"server": UNKNOWN_SERVER}, Relation.SAME),
        ({"server": 1, "log": ANOTHER}, Relation.FOREIGN),
        ({"database": GONE}, Relation.REPLACED),
        ({"database": 1}, Relation.FOREIGN),  # template1
        ({"table": GONE}, Relation.SAME),  # restored in place: its windows are compared
        ({"table": GONE, "log": ANOTHER}, Relation.REPLACED),
        ({"table": OTHER}, Relation.FOREIGN),  # a log that is still there
        ({"table": OTHER, "log": ANOTHER}, Relation.FOREIGN),
        ({"table": 1259}, Relation.SAME),  # pg_class, which is no log
    ],
)
async def test_what_another_log_is_to_ours(
    harness: RelayHarness, other: dict[str, object], expected: Relation
) -> None:
    ours = await identity(harness)
    async with harness.model.pool.acquire() as connection:
        await connection.execute("create schema other; create table other.events (like events)")
        carried = msgspec.structs.replace(ours, **other)
        if carried.table == OTHER:
            table = await connection.fetchval("select 'other.events'::regclass::oid::bigint")
            carried = msgspec.structs.replace(carried, table=table)
        assert await compare_identities(connection, carried, ours) is expected
        assert await compare_identities(connection, None, ours) is Relation.SAME


async def test_a_table_that_was_renamed_for_another_is_not_in_use(harness: RelayHarness) -> None:
    """As where the table is made again by hand, and the old one is kept or attached as a partition."""
    await write(harness.model.pool, user_in(3), 1)
    await harness.started()
    await harness.model.pool.execute("""
        alter table events rename to events_before;
        create table events (like events_before including all);
        insert into events overriding system value select * from events_before
    """)
    await settle(harness.relay())
    assert harness.stream.resets == [*range(8)]


async def test_a_role_without_rights_can_read_the_identity(
    harness: RelayHarness, database_url: str
) -> None:
    await harness.model.pool.execute("""
        create role plain_reader login; grant select on topology, events to plain_reader
    """)
    try:
        connection = await asyncpg.connect(database_url, user="plain_reader")
        try:
            assert await read_log_identity(connection) == await identity(harness)
        finally:
            await connection.close()
    finally:
        await harness.model.pool.execute("drop owned by plain_reader; drop role plain_reader")


async def test_a_relay_refuses_the_streams_of_another_log_and_leaves_them_alone(
    harness: RelayHarness,
) -> None:
    await harness.started()
    carried_from(harness, msgspec.structs.replace(await identity(harness), server=1))
    before = dict(harness.stream.encoded_cursors)
    await write(harness.model.pool, user_in(3), 1)
    relay = harness.relay()
    for _ in range(2):
        with pytest.raises(ForeignLog, match="tandem restored --take-over"):
            await relay.run_once()
    with pytest.raises(ForeignLog):
        await relay.restart_streams()
    assert harness.stream.encoded_cursors == before


async def test_a_relay_whose_streams_are_taken_over_ends_and_takes_nothing_back(
    harness: RelayHarness,
) -> None:
    relay = await harness.started(verify_interval_seconds=0.0)
    carried_from(harness, msgspec.structs.replace(await identity(harness), server=1))
    before = dict(harness.stream.encoded_cursors)
    await write(harness.model.pool, user_in(3), 1)
    with pytest.raises(ForeignLog):
        await settle(relay)
    assert harness.stream.encoded_cursors == before


async def test_a_log_created_again_in_the_same_database_restarts_all_streams(
    harness: RelayHarness,
) -> None:
    await write(harness.model.pool, user_in(3), 1)
    relay = await harness.started()
    carried_from(harness, msgspec.structs.replace(await identity(harness), log=ANOTHER))
    await settle(harness.relay())
    assert sorted(harness.stream.resets) == sorted([*range(8), *range(8)])
    await settle(relay)


async def test_streams_are_begun_again_on_demand(harness: RelayHarness) -> None:
    relay = await harness.started()
    await write(harness.model.pool, user_in(3), 1)
    await settle(relay)
    await harness.relay().restart_streams()
    assert harness.stream.resets == [*range(8), *range(8)]
    await settle(relay)


async def test_streams_of_another_log_are_taken_over_on_demand(harness: RelayHarness) -> None:
    await harness.started()
    ours = await identity(harness)
    carried_from(harness, msgspec.structs.replace(ours, server=1))
    await harness.relay().restart_streams(take_over=True)
    assert {Cursor.decode(raw).log for raw in harness.stream.encoded_cursors.values()} == {ours}
    await settle(harness.relay())
