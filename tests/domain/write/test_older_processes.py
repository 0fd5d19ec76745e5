"""Processes from before there were several aggregates work beside newer ones, on the migrated tables.

Their statements are kept here as they were. Never change them.
"""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from api.runtime import drivers
from api.settings import Settings
from domain.aggregates import AGGREGATES
from domain.command import CommandResult
from domain.envelope import partition_of
from domain.ids import new_id
from domain.log.audit import Audit
from domain.log.erasures import SLICE, Erasures, pending_erasures
from domain.log.event_log import EventLog
from domain.log.log_identity import read_log_identity
from domain.log.skipped_events import skip
from domain.migrate import DIRECTORY, MigrationError, check, migrate
from domain.users.commands.complete_order import CompleteOrder
from domain.users.commands.erase_user import EraseUser
from domain.users.commands.rename_user import RenameUser
from domain.users.events import UserCreated, UserErased, UserId, UserRenamed
from domain.write.rows import key_digest
from tests.domain.write_model import PARTITIONS, START, WriteModel, create
from tests.products.domain.aggregate import PRODUCT
from tests.products.domain.commands import CreateProduct
from tests.products.domain.events import ProductId
from tests.products.install import create_tables

if TYPE_CHECKING:
    from pathlib import Path

CREATE = """
    with written as (
        insert into users (id, version, name, email, email_key, created_at, updated_at, erased_at, secret)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id, version, updated_at
    ), stored_result as (
        insert into commands (key, fingerprint, id, user_id, version, answered_at)
        select c.key, c.fingerprint, c.id, w.id, w.version, w.updated_at
        from written w, (values ($10::bytea, $11::bytea, $12::uuid)) as c (key, fingerprint, id)
    )
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    select e.partition, w.id, e.version, e.type, e.schema, e.data, e.metadata, w.updated_at
    from written w, (
        values ($13::smallint, $14::integer, $15::text, $16::smallint, $17::jsonb, $18::jsonb)
    ) as e (partition, version, type, schema, data, metadata)
    order by e.version
    returning version
"""
CHANGE = """
    with written as (
        update users set (version, name, email, email_key, created_at, updated_at, erased_at, secret) =
            ($2, $3, $4, case when users.email = $4 then users.email_key else $5 end, $6, $7, $8, $9)
        where id = $1 and version = $10 returning id, version, updated_at
    )
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    select e.partition, w.id, e.version, e.type, e.schema, e.data, e.metadata, w.updated_at
    from written w, (
        values ($11::smallint, $12::integer, $13::text, $14::smallint, $15::jsonb, $16::jsonb)
    ) as e (partition, version, type, schema, data, metadata)
    order by e.version
    returning version
"""
LOAD = """
    select u.*, o.id as order_id, o.status, o.total, o.placed_at, o.closed_at,
           c.fingerprint, c.id as result_id, c.user_id as result_user_id, c.version as result_version,
           r.secret as result_secret
    from (select $1::uuid as user_id, $2::uuid as order_id, $3::bytea as key) as wanted
    left join orders o on o.id = wanted.order_id
    left join users u on u.id = coalesce(wanted.user_id, o.user_id)
    left join commands c on c.key = wanted.key
    left join users r on r.id = c.user_id
"""
_BLANK = """
    case jsonb_typeof(e.data) when 'object' then e.data || (
        select coalesce(jsonb_object_agg(field, ''), '{}')
        from jsonb_object_keys(e.data) as field where field in ('name', 'email'))
    else '{}' end
"""
HISTORY = f"""
    select e.user_id, e.version, e.type, e.schema,
        case when e.user_id in (select user_id from erasures) then {_BLANK} else e.data end as data,
        e.metadata, e.occurred_at,
        exists (select from skipped s where (s.user_id, s.version) = (e.user_id, e.version)) as skipped
    from events e where user_id = $1 and version > $2 order by version limit $3
"""
SKIP = "insert into skipped (user_id, version, reason) values ($1, $2, $3) on conflict do nothing"
BLANK_NEXT_SLICE = f"""
    with taken as (
        select user_id, blanked, last from erasures
        order by erased_at, user_id limit 1 for update skip locked
    ), slice as (
        update events e set data = {_BLANK} from taken t
        where e.user_id = t.user_id and e.version > t.blanked and e.version <= t.blanked + $1
          and e.data <> {_BLANK}
    ), advanced as (
        update erasures set blanked = t.blanked + $1 from taken t
        where erasures.user_id = t.user_id and t.last > t.blanked + $1
    ), finished as (
        delete from erasures using taken t
        where erasures.user_id = t.user_id and t.last <= t.blanked + $1
    )
    select count(*) from taken
"""

LONG = """
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    select partition, user_id, number, 'UserRenamed', 1, '{"name": "Alicia"}', metadata, occurred_at
    from events, generate_series(2, $2::int) as number where user_id = $1 and version = 1
"""


async def created_by_older(pool: asyncpg.Pool, command: Any) -> UserId:
    secret, at = uuid4(), START
    user_id, address = command.user_id, command.email.address
    key = key_digest(command.idempotency_key), command.request_digest(secret), user_id
    data = f'{{"name": "{command.name}", "email": "{address}"}}'
    event = (
        partition_of(user_id, PARTITIONS),
        1,
        "UserCreated",
        1,
        data,
        '{"command": "CreateUser"}',
    )
    user = user_id, 1, command.name, address, command.email.key, at, at, None, secret
    assert await pool.fetch(CREATE, *user, *key, *event)
    return UserId(user_id)


async def renamed_by_older(pool: asyncpg.Pool, user_id: UserId, name: str) -> int:
    row = await pool.fetchrow(LOAD, user_id, None, None)
    assert row is not None
    version, at = row["version"] + 1, row["updated_at"] + timedelta(seconds=1)
    user = user_id, version, name, row["email"], row["email_key"], row["created_at"], at, None
    event = (
        partition_of(user_id, PARTITIONS),
        version,
        "UserRenamed",
        1,
        f'{{"name": "{name}"}}',
        "{}",
    )
    assert await pool.fetch(CHANGE, *user, row["secret"], row["version"], *event)
    return int(version)


async def read_by_older(model: WriteModel, user_id: UserId) -> list[tuple[int, str, bool]]:
    rows = await model.rows(HISTORY, user_id, 0, None)
    return [(row["version"], row["type"], row["skipped"]) for row in rows]


async def audited(model: WriteModel) -> list[object]:
    return [mismatch async for page in Audit(model.pool).run() for mismatch in page]


async def test_what_an_older_process_writes_is_read_and_continued_by_a_newer_one(
    model: WriteModel,
) -> None:
    command = create("Alice", "alice@example.com", key="k")
    user_id = await created_by_older(model.pool, command)
    again = create("Alice", "alice@example.com", key="k")
    assert await model.ask(again) == CommandResult(id=user_id, aggregate_id=user_id, version=1)
    await model.ask(RenameUser(user_id=user_id, name="Alicia"))
    assert await renamed_by_older(model.pool, user_id, "Al") == 3
    assert (
        await model.ask(RenameUser(user_id=user_id, name="Zoë", expected_version=3))
    ).version == 4
    history = await EventLog(model.pool).history(user_id, 0)
    assert [one.aggregate for one in history] == ["user"] * 4
    assert [one.event() for one in history] == [
        UserCreated(name="Alice", email="alice@example.com"),
        *(UserRenamed(name=name) for name in ("Alicia", "Al", "Zoë")),
    ]
    await model.assert_tables_are_the_fold_of_the_log()
    assert await audited(model) == []


async def test_what_a_newer_process_writes_is_read_by_an_older_one(model: WriteModel) -> None:
    created = await model.ask(create("Alice", "alice@example.com", key="k"))
    user_id = UserId(created.id)
    order_id = await model.order(user_id, 1250)
    await model.ask(CompleteOrder(order_id=order_id))
    [row] = await model.rows(LOAD, None, order_id, key_digest("k"))
    assert (row["id"], row["name"], row["version"]) == (user_id, "Alice", 3)
    assert (row["order_id"], row["status"], row["total"]) == (order_id, "COMPLETED", 1250)
    assert (row["result_id"], row["result_user_id"], row["result_version"]) == (user_id, user_id, 1)
    again = create("Alice", "alice@example.com", key="k")
    assert row["fingerprint"] == again.request_digest(row["result_secret"])
    await skip(model.pool, user_id, 2, "unreadable")
    await model.pool.execute(SKIP, user_id, 3, "unreadable too")
    assert await read_by_older(model, user_id) == [
        (1, "UserCreated", False),
        (2, "OrderPlaced", True),
        (3, "OrderCompleted", True),
    ]
    skipped = [one.version for one in await EventLog(model.pool).history(user_id, 0) if one.skipped]
    assert skipped == [2, 3]


@pytest.mark.parametrize("finished_by", ["older", "newer"])
async def test_an_erasure_that_a_newer_process_begins_is_finished_by_either(
    model: WriteModel, finished_by: str
) -> None:
    user_id = await model.user("Alicia", "alicia@example.com")
    await model.pool.execute(LONG, user_id, SLICE + 100)
    await model.pool.execute("update users set version = $2 where id = $1", user_id, SLICE + 100)
    await model.ask(EraseUser(user_id=user_id))
    assert not [
        row for row in await model.rows(HISTORY, user_id, 0, None) if "Alicia" in row["data"]
    ]
    if finished_by == "older":
        assert await model.pool.fetchval(BLANK_NEXT_SLICE, SLICE) == 1
    else:
        assert await Erasures(model.pool, pause_seconds=0.0).run_once()
    assert (await pending_erasures(model.pool)).aggregates == 0
    assert "alicia" not in (await model.dump()).lower()
    assert (await model.history(user_id))[-1] == UserErased()


async def test_events_of_another_aggregate_keep_older_statements_working(
    model: WriteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(AGGREGATES, PRODUCT.name, PRODUCT)
    async with model.pool.acquire() as connection:
        await create_tables(connection)  # type: ignore[arg-type]
    product = CreateProduct(
        product_id=ProductId(new_id()), sku="A-1", name="Lamp", price=1, idempotency_key="p"
    )
    await model.ask(product)
    user_id = await created_by_older(model.pool, create("Alice", "alice@example.com", key="k"))
    [row] = await model.rows(LOAD, user_id, None, key_digest("p"))
    assert (row["name"], row["result_user_id"]) == ("Alice", product.product_id)
    assert row["result_secret"] is None
    assert await audited(model) == []


async def test_the_migration_leaves_the_log_what_it_was(
    empty_database_url: str, tmp_path: Path
) -> None:
    """The same identity and the same file, so that neither a relay nor a cursor takes it for another log."""
    for file in sorted(DIRECTORY.glob("000[1-7]*.sql")):
        shutil.copy(file, tmp_path)
    filenode = "select pg_relation_filenode('events')"
    async with drivers.database(Settings(database_url=empty_database_url)) as pool:
        async with pool.acquire() as own:
            connection: Any = own
            await migrate(connection, PARTITIONS, directory=tmp_path)
            with pytest.raises(MigrationError, match=r"lacks 0008_aggregates\.sql"):
                await check(connection, PARTITIONS)
            user_id = await created_by_older(pool, create("Alice", "alice@example.com", key="k"))
            before = await read_log_identity(connection), await connection.fetchval(filenode)
            rows = await pool.fetch("select xmin, ctid, xid, position from events")
            assert await migrate(connection, PARTITIONS) == ["0008_aggregates.sql"]
            assert before == (
                await read_log_identity(connection),
                await connection.fetchval(filenode),
            )
            assert await pool.fetch("select xmin, ctid, xid, position from events") == rows
            await check(connection, PARTITIONS)
            await check(connection, PARTITIONS, directory=tmp_path)  # of the older code
        model = WriteModel(pool)
        assert (await model.ask(RenameUser(user_id=user_id, name="Alicia"))).version == 2
        assert await audited(model) == []
