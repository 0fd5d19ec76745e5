"""Findings of the doctor on real servers before a start, each with what to do."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from api.cli.checks import postgres, redis_streams, transactions
from api.cli.checks import redis as redis_doctor
from api.runtime import drivers
from domain.migrate import migrate
from readside.queries.pubsub import PubSub
from readside.redis_functions.keys import Partition
from tests.acceptance.service import running
from tests.chaos import stores as own
from tests.stores import PARTITIONS, OwnStores, fast_temp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from api.cli.checks.finding import Finding
    from api.settings import Settings

EVENT = """
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at, xid)
    values (3, gen_random_uuid(), 1, 'UserCreated', 1, '{}', '{}', now(), $1::text::xid8)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tandem-doctor-", dir=fast_temp()) as place:
        yield Path(place)


@asynccontextmanager
async def connected(url: str | None) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def of_postgres(settings: Settings) -> dict[str, Finding]:
    async with drivers.database(settings) as pool:
        return {finding.what: finding for finding in await postgres.check(pool, settings)}


async def of_redis(settings: Settings) -> dict[str, Finding]:
    async with drivers.redis_for_functions(settings) as redis:
        return {finding.what: finding for finding in await redis_doctor.check(redis, settings)}


async def test_where_all_is_well_every_check_is_ok(settings: Settings) -> None:
    found = await of_postgres(settings)
    whats = ("encoding", "collation", "transactions", "sequence", "transaction numbers")
    assert {what: found[what].level for what in whats} == dict.fromkeys(whats, "ok")
    found = await of_redis(settings)
    others = ("memory", "channels", "streams")
    assert {what: found[what].level for what in others} == dict.fromkeys(others, "ok")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_an_encoding_that_cannot_hold_every_character_is_wrong(
    settings: Settings, stores: OwnStores, encoding: str
) -> None:
    name = f"encoded_{encoding.lower()}"
    async with connected(stores.url("postgres")) as admin:
        await admin.execute(
            f"create database {name} encoding '{encoding}' locale 'C' template template0"
        )
        try:
            async with connected(stores.url(name)) as connection:
                await migrate(connection, PARTITIONS)
            other = settings.model_copy(update={"database_url": stores.url(name)})
            found = (await of_postgres(other))["encoding"]
        finally:
            await admin.execute(f"drop database {name} with (force)")
    assert found.level == "wrong"
    assert encoding in found.says
    assert "encoding 'UTF8' template template0" in found.says


async def test_a_collation_of_another_version_is_wrong_with_the_statements(
    settings: Settings,
) -> None:
    async with connected(settings.database_url) as connection:
        await connection.execute(
            "update pg_database set datcollversion = '0.1' where datname = current_database()"
        )
        found = (await of_postgres(settings))["collation"]
        assert found.level == "wrong"
        assert "0.1" in found.says
        assert "reindex database test_" in found.says
        await connection.execute(
            "update pg_database set datcollversion = null where datname = current_database()"
        )
        await connection.execute(
            'create collation odd from "C";'
            " update pg_collation set collversion = '7' where collname = 'odd'"
        )
    found = (await of_postgres(settings))["collation"]
    assert found.level == "hint"
    assert "public.odd" in found.says


async def test_a_sequence_behind_the_log_is_wrong_with_its_statement(settings: Settings) -> None:
    async with connected(settings.database_url) as connection:
        await connection.execute(EVENT, "3")
        await connection.execute("alter table events alter column position restart")
    found = (await of_postgres(settings))["sequence"]
    assert found.level == "wrong"
    assert found.says.endswith("select setval('public.events_position_seq', 1);")


async def test_events_with_numbers_of_another_server_are_counted(settings: Settings) -> None:
    async with connected(settings.database_url) as connection:
        for xid in ("3", "9000000000", "9000000001"):
            await connection.execute(EVENT, xid)
    found = (await of_postgres(settings))["transaction numbers"]
    assert found.level == "hint"
    assert found.says.startswith("2 events")
    assert "restored from a dump" in found.says


async def test_old_and_prepared_transactions_and_slots_are_reported_with_what_ends_them(
    settings: Settings, place: Path
) -> None:
    options = ("max_prepared_transactions=4", "wal_level=replica", "max_wal_senders=2")
    async with own.postgres(place, *options) as store, connected(store.url) as connection:
        await connection.execute("begin; select pg_current_xact_id(); prepare transaction 'it''s'")
        await connection.execute("select pg_create_physical_replication_slot('unused', true)")
        async with connected(store.url) as other, other.transaction():
            await other.execute("select pg_current_xact_id()")
            pid = other.get_server_pid()
            found = await transactions.check(connection, timedelta(0))
            assert [one.what for one in found] == ["prepared", "transactions", "replication slot"]
            assert "rollback prepared 'it''s';" in found[0].says
            assert f"select pg_terminate_backend({pid});" in found[1].says
            assert "select pg_drop_replication_slot('unused');" in found[2].says
            assert [one.what for one in await transactions.check(connection)] == [
                "replication slot"
            ]
        for one in (found[0], found[2]):
            await connection.execute(one.says.rpartition(": ")[2])
        assert [one.level for one in await transactions.check(connection, timedelta(0))] == ["ok"]


async def test_without_permission_in_postgresql_the_doctor_says_so_and_continues(
    settings: Settings,
) -> None:
    async with connected(settings.database_url) as connection:
        await connection.execute(
            """
            create role looker login;
            grant select, insert, update, delete on all tables in schema public to looker
            """
        )
        try:
            url = (settings.database_url or "").replace("tandem@", "looker@")
            found = await of_postgres(settings.model_copy(update={"database_url": url}))
        finally:
            await connection.execute("drop owned by looker; drop role looker")
    assert found["sequence"].level == "hint"
    assert "may not read the sequence" in found["sequence"].says
    assert "grant it pg_read_all_stats" in found["transactions"].says
    assert found["transaction numbers"].level == "ok"


@asynccontextmanager
async def of_user(settings: Settings, **rules: Any) -> AsyncIterator[Settings]:
    async with Redis.from_url(settings.redis_url or "") as redis:
        allowed: dict[str, Any] = {"commands": ["+@all"], "channels": ["*"], **rules}
        await redis.acl_setuser("poor", enabled=True, passwords=["+word"], keys=["*"], **allowed)
        try:
            url = (settings.redis_url or "").replace("unix://", "unix://poor:word@")
            yield settings.model_copy(update={"redis_url": url})
        finally:
            await redis.acl_deluser("poor")


async def test_a_channel_that_a_user_may_not_listen_to_is_named_and_logged_once_a_minute(
    settings: Settings,
) -> None:
    async with of_user(settings, channels=["tandem:wake"]) as poor:
        found = (await of_redis(poor))["channels"]
        with capture_logs() as logged:
            async with (
                drivers.redis_for_pubsub(poor) as redis,
                PubSub(redis, subscribe_timeout_seconds=1.0) as all_,
                all_.subscribe("tandem:{0}:changed:x"),
            ):
                pass
    assert found.level == "hint"
    assert "&tandem:silent &tandem:projectors:* &tandem:{*}:changed:*," in found.says
    assert "&tandem:wake" not in found.says
    [line] = [each for each in logged if each["event"] == "pubsub.disconnected"]
    assert "&tandem:*" in line["todo"]


async def test_without_permission_in_redis_the_doctor_says_so_and_continues(
    settings: Settings,
) -> None:
    async with of_user(settings, commands=["+@all", "-info", "-xrange", "-config"]) as poor:
        async with running(settings) as client:
            await client.until_built()
        found = await of_redis(poor)
    assert found["Redis"].level == found["streams"].level == "hint"
    assert "permission denied" in found["Redis"].says
    assert found["functions"].level == "ok"


async def test_memory_that_is_too_small_for_a_second_read_model_is_reported(
    settings: Settings,
) -> None:
    async with Redis.from_url(settings.redis_url or "") as redis:
        await redis.setrange("other", 3_000_000, "x")
        used = int((await redis.info("memory"))["used_memory"])
        levels = {}
        try:
            for maxmemory in (3 * used, used + 1_500_000):
                await redis.config_set("maxmemory", maxmemory)
                levels[maxmemory] = (await of_redis(settings))["memory"]
            await redis.config_set("maxmemory", 1_000_000)
            full = (await of_redis(settings))["memory"]
        finally:
            await redis.config_set("maxmemory", 0)
    assert [one.level for one in levels.values()] == ["ok", "hint"]
    assert "set maxmemory to" in levels[used + 1_500_000].says
    assert full.level == "wrong"


async def test_a_group_that_keeps_entries_in_a_stream_is_named_with_what_to_do(
    settings: Settings,
) -> None:
    place = Partition(0)
    async with running(settings) as client:
        await client.until_built()
    async with drivers.redis_for_functions(settings) as redis:
        await redis.xgroup_create(place.stream, "reports", "$")
        entry = await redis.xadd(place.stream, {"e": "{}"})
        for group in await redis.xinfo_groups(place.stream):
            if group["name"] != "reports":
                await redis.xreadgroup(group["name"], "c", {place.stream: ">"})
                await redis.xack(place.stream, group["name"], entry)
        [found] = await redis_streams.check(redis, 1, max_age_seconds=-1.0)
        assert "the foreign group reports" in found.says
        assert "XGROUP DESTROY tandem:{0}:stream reports" in found.says
        await redis.xgroup_destroy(place.stream, "reports")
        [found] = await redis_streams.check(redis, 1, max_age_seconds=-1.0)
        assert "see that a projector runs" in found.says
        assert (await redis_streams.check(redis, 1))[0].level == "ok"


async def test_a_server_in_cluster_mode_is_wrong(settings: Settings, place: Path) -> None:
    async with own.valkey(place, "--cluster-enabled", "yes", "--port", "0") as store:
        found = await of_redis(settings.model_copy(update={"redis_url": store.url}))
    assert [finding.level for finding in found.values()] == ["wrong"]
    assert "cluster" in found["Redis"].says
