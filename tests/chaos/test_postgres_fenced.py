"""A PostgreSQL that was made read-only under open connections, and the failover that this is done for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from api.runtime.drivers import database
from api.runtime.migrations import apply_migrations
from api.settings import Settings
from domain.users.commands.rename_user import RenameUser
from domain.write.database import WriteModelUnavailable
from tests.acceptance.service import Client, running
from tests.chaos.cluster import PARTITIONS
from tests.chaos.convergence import as_the_log
from tests.chaos.proxy import proxy
from tests.chaos.standby import ask, fail_over, fence, standby_of
from tests.chaos.stores import Postgres, postgres
from tests.chaos.writers import write_models
from tests.domain.log.relay_harness import RelayHarness, settle
from tests.domain.write_model import create

WHERE = "select pg_postmaster_start_time()"

WITHIN = 30.0
"""Seconds from a failover until own writes are visible: five, on a machine that is not busy."""

RENAME = """
    mutation($input: RenameUserInput!) { renameUser(input: $input) { version user { name version } } }
"""


@pytest.fixture
async def primary(data_dir: Path, template: Path) -> AsyncIterator[Postgres]:
    data_dir.mkdir()
    async with postgres(data_dir / "p", template=template) as primary:
        yield primary


async def test_a_failover_is_followed_behind_one_address_and_with_two_hosts(
    primary: Postgres, redis_url: str
) -> None:
    """The old primary goes on answering its connections, and whoever still reads it is wrong."""
    async with standby_of(primary) as standby, proxy(primary.url) as address:
        hosts = f"{primary.url},{quote(str(standby.sockets), safe='/')}"
        two, one = (
            Settings(database_url=url, redis_url=redis_url, partitions=PARTITIONS, read_timeout=20)
            for url in (hosts, address.url)
        )
        async with running(two) as first, running(one) as second:
            clients = [first, second]
            users = [
                await client.create_user("Before", f"user{number}@example.com")
                for number, client in enumerate(clients)
            ]
            await fence(primary)
            await told(second)
            await fail_over(primary, standby)
            address.lead_to(standby.url)
            async with asyncio.timeout(WITHIN):
                for client, user in zip(clients, users, strict=True):
                    await renamed(client, user, "After")
            assert await apply_migrations(two) == await apply_migrations(one) == ([], [])
            evidence = await as_the_log(one)
        assert {str(user) for user in users} <= {str(user) for user in evidence.users}
        assert await ask(primary, "select count(*) from events where type = 'UserRenamed'") == 0


async def told(client: Client) -> None:
    """Until /readyz says that there is nobody to write to, while every connection is alive."""
    async with asyncio.timeout(10):
        while "takes no writes" not in (await client.http.get("/readyz")).json()["parts"]["writes"]:
            await asyncio.sleep(0.05)


async def renamed(client: Client, user: str, name: str) -> None:
    """Without one refusal: nothing was written where a command was refused, so another host is tried."""
    answer = await client.data(RENAME, input={"userId": user, "name": name})
    assert answer["renameUser"]["user"] == {"name": name, "version": 2}


async def test_what_a_fenced_server_refuses_was_not_written(primary: Postgres) -> None:
    async with write_models(primary.url, 1) as [model]:
        user_id = await model.user()
        await fence(primary)
        commands = [RenameUser(user_id=user_id, name=f"N{n}") for n in range(20)]
        creations = [create("B", f"b{n}@example.com", f"k{n}") for n in range(20)]
        told = await asyncio.gather(
            *map(model.store.execute, [*commands, *creations]), return_exceptions=True
        )
        assert {str(one) for one in told} == {
            "The write model cannot be reached and nothing was written; try again."
        }
        await fence(primary, "off")
        assert (await model.ask(RenameUser(user_id=user_id, name="Zoe"))).version == 2


async def test_a_fenced_server_decides_nothing_and_its_log_is_not_carried(
    primary: Postgres,
) -> None:
    """What it would answer may be older than what the new primary has."""
    async with write_models(primary.url, 1) as [model]:
        user_id = await model.user()
        harness = RelayHarness(model)
        await harness.relay().run_once()
        await fence(primary)
        for command in (
            RenameUser(user_id=user_id, name="Alice"),
            RenameUser(user_id=user_id, name="Bob", expected_version=7),
        ):
            with pytest.raises(WriteModelUnavailable, match="nothing was written"):
                await model.store.execute(command)
        with pytest.raises(
            (asyncpg.ReadOnlySQLTransactionError, asyncpg.TargetServerAttributeNotMatched)
        ):
            await harness.relay().run_once()


@pytest.mark.parametrize(
    "statement",
    [
        "select 1",
        "select current_setting('transaction_read_only')",
        "select count(*) from (select 1 from events limit 1 for update) as locked",
    ],
)
async def test_a_connection_that_a_fence_overtook_is_replaced_whatever_its_statement_is(
    primary: Postgres, statement: str
) -> None:
    """Of every user of the pool, also one that holds its connection while the others notice the fence."""
    async with standby_of(primary) as standby, proxy(primary.url) as address:
        settings = Settings(database_url=address.url, redis_url="redis://127.0.0.1:1")
        async with database(settings) as pool:
            connections = [await pool.acquire() for _ in range(3)]
            for connection in connections:
                await pool.release(connection)
            await fail_over(primary, standby)
            address.lead_to(standby.url)
            refused = 0
            for _ in range(len(connections) + 3):
                try:
                    await pool.fetchval(statement)
                except asyncpg.ReadOnlySQLTransactionError:
                    refused += 1
            assert refused <= 2
            assert await pool.fetchval(WHERE) == await ask(standby, WHERE)


async def test_a_relay_that_inspects_the_log_in_each_pass_follows_a_failover(
    primary: Postgres,
) -> None:
    """The inspection comes before anything else is read: no other read may notice the fence for it."""
    async with (
        standby_of(primary) as standby,
        proxy(primary.url) as address,
        write_models(address.url, 1) as [model],
    ):
        user_id = await model.user()
        harness = RelayHarness(model)
        relay = harness.relay(inspection_interval_seconds=0.0)
        await settle(relay)
        await fail_over(primary, standby)
        address.lead_to(standby.url)
        refused = 0
        while refused < 5:
            try:
                await relay.run_once()
                break
            except asyncpg.ReadOnlySQLTransactionError:
                refused += 1
        assert refused <= 3
        await model.ask(RenameUser(user_id=user_id, name="After"))
        await settle(relay)
        assert harness.stream.all == [(user_id, 2)]
