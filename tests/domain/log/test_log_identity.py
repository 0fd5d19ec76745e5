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
from tests.domain.log.relay_harness import Carrying, settle, user_in, write

ANOTHER = UUID(int=7)
GONE = 4_000_000_000
"""An object identifier that nothing has."""
OTHER = -1
"""Stands for the table of a second log in the same database."""


async def identity(carrying: Carrying) -> LogIdentity:
    async with carrying.model.pool.acquire() as connection:
        return await read_log_identity(connection)


def carried_from(carrying: Carrying, log: LogIdentity) -> None:
    carrying.stream.alter(lambda cursor: msgspec.structs.replace(cursor, log=log))


async def test_a_cursor_names_its_log(carrying: Carrying) -> None:
    await carrying.begun()
    ours = await identity(carrying)
    assert {Cursor.decode(raw).log for raw in carrying.stream.kept.values()} == {ours}


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
    carrying: Carrying, other: dict[str, object], expected: Relation
) -> None:
    ours = await identity(carrying)
    async with carrying.model.pool.acquire() as connection:
        await connection.execute("create schema other; create table other.events (like events)")
        carried = msgspec.structs.replace(ours, **other)
        if carried.table == OTHER:
            table = await connection.fetchval("select 'other.events'::regclass::oid::bigint")
            carried = msgspec.structs.replace(carried, table=table)
        assert await compare_identities(connection, carried, ours) is expected
        assert await compare_identities(connection, None, ours) is Relation.SAME


async def test_a_table_that_was_renamed_for_another_is_not_in_use(carrying: Carrying) -> None:
    """As where the table is made again by hand, and the old one is kept or attached as a partition."""
    await write(carrying.model.pool, user_in(3), 1)
    await carrying.begun()
    await carrying.model.pool.execute("""
        alter table events rename to events_before;
        create table events (like events_before including all);
        insert into events overriding system value select * from events_before
    """)
    await settle(carrying.relay())
    assert carrying.stream.begun == [*range(8)]


async def test_a_role_without_rights_can_read_the_identity(
    carrying: Carrying, database_url: str
) -> None:
    await carrying.model.pool.execute("""
        create role plain_reader login; grant select on topology, events to plain_reader
    """)
    try:
        connection = await asyncpg.connect(database_url, user="plain_reader")
        try:
            assert await read_log_identity(connection) == await identity(carrying)
        finally:
            await connection.close()
    finally:
        await carrying.model.pool.execute("drop owned by plain_reader; drop role plain_reader")


async def test_a_relay_refuses_the_streams_of_another_log_and_leaves_them_alone(
    carrying: Carrying,
) -> None:
    await carrying.begun()
    carried_from(carrying, msgspec.structs.replace(await identity(carrying), server=1))
    before = dict(carrying.stream.kept)
    await write(carrying.model.pool, user_in(3), 1)
    relay = carrying.relay()
    for _ in range(2):
        with pytest.raises(ForeignLog, match="tandem restored --take-over"):
            await relay.run_once()
    with pytest.raises(ForeignLog):
        await relay.restart_streams()
    assert carrying.stream.kept == before


async def test_a_relay_whose_streams_are_taken_over_ends_and_takes_nothing_back(
    carrying: Carrying,
) -> None:
    relay = await carrying.begun(verify_interval_seconds=0.0)
    carried_from(carrying, msgspec.structs.replace(await identity(carrying), server=1))
    before = dict(carrying.stream.kept)
    await write(carrying.model.pool, user_in(3), 1)
    with pytest.raises(ForeignLog):
        await settle(relay)
    assert carrying.stream.kept == before


async def test_a_log_created_again_in_the_same_database_restarts_all_streams(
    carrying: Carrying,
) -> None:
    await write(carrying.model.pool, user_in(3), 1)
    relay = await carrying.begun()
    carried_from(carrying, msgspec.structs.replace(await identity(carrying), log=ANOTHER))
    await settle(carrying.relay())
    assert sorted(carrying.stream.begun) == sorted([*range(8), *range(8)])
    await settle(relay)


async def test_streams_are_begun_again_on_demand(carrying: Carrying) -> None:
    relay = await carrying.begun()
    await write(carrying.model.pool, user_in(3), 1)
    await settle(relay)
    await carrying.relay().restart_streams()
    assert carrying.stream.begun == [*range(8), *range(8)]
    await settle(relay)


async def test_streams_of_another_log_are_taken_over_on_demand(carrying: Carrying) -> None:
    await carrying.begun()
    ours = await identity(carrying)
    carried_from(carrying, msgspec.structs.replace(ours, server=1))
    await carrying.relay().restart_streams(take_over=True)
    assert {Cursor.decode(raw).log for raw in carrying.stream.kept.values()} == {ours}
    await settle(carrying.relay())
