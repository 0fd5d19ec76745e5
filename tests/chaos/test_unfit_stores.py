"""Servers that answer and are not what Tandem works with: each is named, with what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.cli.checks import postgres, redis
from api.cli.checks.finding import Finding
from api.cli.open_stores import open_stores
from api.embedded.valkey import binary
from api.observability.pipeline import Pipeline
from api.observability.problems import problems
from api.operator_error import OperatorError
from api.roles import Role
from api.runtime import drivers, redis_address
from api.runtime.background import LoopFailed
from api.settings import Settings
from readside.redis_connection.connection_expiry import ConnectionExpiry
from tests.acceptance.service import running
from tests.chaos.proxy import proxy
from tests.chaos.stores import valkey
from tests.processes import HOST, free_port
from tests.processes import running as process

REPLICA = "is a replica"
LEAD = "let REDIS_URL lead to the primary"


@asynccontextmanager
async def cluster_node(place: Path) -> AsyncIterator[str]:
    port, bus = str(free_port()), str(free_port())
    options = ("--port", port, "--bind", HOST, "--cluster-enabled", "yes", "--cluster-port", bus)
    async with valkey(place, *options, appendonly=False) as store:
        yield store.url


@asynccontextmanager
async def sentinel(place: Path) -> AsyncIterator[str]:
    place.mkdir(parents=True)
    port, conf = free_port(), place / "sentinel.conf"
    conf.write_text(f"port {port}\nbind {HOST}\ndir {place}\n")
    async with process(binary(), str(conf), "--sentinel", log=place / "log"):
        async with asyncio.timeout(20), Redis(host=HOST, port=port) as server:
            while True:
                try:
                    await server.ping()
                    break
                except (OSError, RedisError):
                    await asyncio.sleep(0.02)
        yield f"redis://{HOST}:{port}"


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, read_timeout=5)


UNSUPPORTED = [
    pytest.param(cluster_node, "is a node of a cluster", id="cluster"),
    pytest.param(sentinel, "leads to a Sentinel", id="sentinel"),
]


ADVICE = {cluster_node: "let REDIS_URL end with", sentinel: LEAD}


@pytest.mark.parametrize(("server", "sentence"), UNSUPPORTED)
async def test_a_redis_of_another_mode_is_refused_by_processes_and_verbs(
    settings: Settings, data_dir: Path, server: type, sentence: str
) -> None:
    data_dir.mkdir()
    async with server(data_dir / "s") as url:
        there = settings.model_copy(update={"redis_url": url})
        with pytest.raises(LoopFailed, match=sentence):
            await redis_address.follow_address(there, ConnectionExpiry())
        with pytest.raises(OperatorError, match=f"{sentence}.*{ADVICE[server]}"):
            async with open_stores(there):
                raise AssertionError("a verb works with it")
        [found] = await looked_by_doctor(there)
        assert (found.level, sentence in found.says) == ("wrong", True)
        [problem] = await looked_by_status(there)
        assert sentence in problem


async def looked_by_doctor(settings: Settings) -> list[Finding]:
    async with drivers.redis_for_functions(settings) as client:
        return await redis.check(client, settings)


async def looked_by_status(settings: Settings) -> list[str]:
    async with (
        drivers.database(settings) as pool,
        drivers.redis_for_monitoring(settings) as client,
    ):
        look = await Pipeline(pool, client, partitions=8, fingerprint="none").status()
    return [problem.sentence for problem in problems(look)]


@pytest.mark.parametrize(("server", "sentence"), UNSUPPORTED)
async def test_an_address_that_leads_to_one_later_is_told_by_readyz_and_commands_go_on(
    settings: Settings, redis_url: str, data_dir: Path, server: type, sentence: str
) -> None:
    data_dir.mkdir()
    async with server(data_dir / "s") as url, proxy(redis_url) as address:
        there = settings.model_copy(update={"redis_url": address.url})
        async with running(there, frozenset({Role.API})) as client:
            async with asyncio.timeout(10):
                while address.asked["INFO server"] < 2:  # one look is over
                    await asyncio.sleep(0.01)
            address.lead_to(url)
            async with asyncio.timeout(10):
                while (
                    sentence
                    not in (parts := (await client.http.get("/readyz")).json()["parts"])["reads"]
                ):
                    await asyncio.sleep(0.05)
            assert parts["writes"] == "ok"


async def test_a_replica_is_named_and_so_is_a_primary_that_became_one(
    settings: Settings, redis_url: str
) -> None:
    there = settings.model_copy(update={"redis_url": redis_url})
    async with Redis.from_url(redis_url) as server, running(there, frozenset({Role.API})) as client:
        await server.replicaof(HOST, "1")
        try:
            with pytest.raises(OperatorError, match=f"{REPLICA}.*{LEAD}"):
                async with open_stores(there):
                    raise AssertionError("a verb works with it")
            [problem] = await looked_by_status(there)
            async with asyncio.timeout(10):
                while REPLICA not in (await client.http.get("/readyz")).json()["parts"]["reads"]:
                    await asyncio.sleep(0.05)
        finally:
            await server.replicaof("NO", "ONE")
        assert REPLICA in problem


async def test_a_fenced_postgresql_is_named_by_readyz_status_doctor_and_verbs(
    settings: Settings, redis_url: str
) -> None:
    there = settings.model_copy(update={"redis_url": redis_url})
    async with running(there, frozenset({Role.API})) as client:
        assert (await client.http.get("/readyz")).json()["parts"]["writes"] == "ok"
        server = await asyncpg.connect(settings.database_url)
        database = await server.fetchval("select current_database()")
        await server.execute(f"alter database {database} set default_transaction_read_only = on")
        await server.close()
        [problem] = [one for one in await looked_by_status(there) if "PostgreSQL" in one]
        async with drivers.database(there) as pool:
            [found] = await postgres.check(pool, there)
        with pytest.raises(OperatorError, match="takes no writes"):
            async with open_stores(there):
                raise AssertionError("a verb works with it")
    assert "takes no writes" in problem
    assert "let DATABASE_URL lead to the primary" in found.says
