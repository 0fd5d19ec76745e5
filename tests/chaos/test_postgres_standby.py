"""A hot standby: nobody writes to it or reads its log, until it is the one that takes writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from api.runtime import drivers
from api.settings import Settings
from domain.write.database import WriteModelUnavailable
from tests.acceptance.service import Client, running
from tests.chaos.cluster import PARTITIONS
from tests.chaos.convergence import as_the_log, forgotten, mentions
from tests.chaos.proxy import proxy
from tests.chaos.standby import ask, caught_up, standby_of, until
from tests.chaos.stores import Postgres, postgres
from tests.domain.log.relay_harness import RelayHarness
from tests.domain.write_model import WriteModel, create
from tests.limited import limited

CREATE = "mutation($input: CreateUserInput!) { createUser(input: $input) { id } }"
USER = "query($id: ID!) { user(id: $id) { name } }"


@pytest.fixture
async def primary(data_dir: Path, template: Path) -> AsyncIterator[Postgres]:
    data_dir.mkdir()
    async with postgres(data_dir / "p", template=template) as primary:
        yield primary


async def test_a_standby_takes_no_command_and_its_log_is_not_read(primary: Postgres) -> None:
    async with (
        standby_of(primary) as standby,
        drivers.database(Settings(database_url=standby.url)) as pool,
    ):
        assert await ask(standby, "select pg_is_in_recovery()")
        model = WriteModel(pool)
        with pytest.raises(WriteModelUnavailable, match="nothing was written"):
            await model.store.execute(create("Alice", "alice@example.com"))
        with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
            await RelayHarness(model).relay().run_once()


@pytest.mark.parametrize("lost", [False, True], ids=["with all of it", "without the tail"])
async def test_a_promoted_standby_goes_on_and_the_read_model_follows_it(
    primary: Postgres, redis_url: str, lost: bool
) -> None:
    async with standby_of(primary) as standby:
        settings = Settings(
            database_url=f"{primary.url},{quote(str(standby.sockets), safe='/')}",
            redis_url=redis_url,
            partitions=PARTITIONS,
            command_timeout=5.0,
        )
        async with running(settings) as client:
            first = [
                await client.create_user(f"First {n}", f"first{n}@a.example") for n in range(8)
            ]
            await caught_up(primary, standby)
            if lost:
                await leave(primary, standby)
            tail = [await client.create_user(f"Tail {n}", f"tail{n}@a.example") for n in range(8)]
            assert mentions(await as_the_log(settings), tail[0])
            if not lost:
                await caught_up(primary, standby)
            await primary.kill()
            assert await client.code(CREATE, input=alice()) == "WRITE_MODEL_UNAVAILABLE"
            assert await client.data(USER, id=first[0]) == {"user": {"name": "First 0"}}
            assert await ask(standby, "select pg_promote()")
            await created(client)
            evidence = await forgotten(settings, *(["Tail", *tail] if lost else []))
            assert len(evidence.users) == (9 if lost else 17)


@pytest.mark.parametrize("ends", ["killed", "unreachable"])
async def test_a_failover_between_two_hosts_under_load_loses_no_acknowledged_command(
    primary: Postgres, redis_url: str, ends: str
) -> None:
    """The standby is synchronous. An unreachable primary keeps every connection to it open, in silence."""
    async with (
        standby_of(primary) as standby,
        proxy(primary.url) as first,
        proxy(standby.url) as other,
    ):
        await ask(primary, "alter system set synchronous_standby_names = '*'")
        await ask(primary, "select pg_reload_conf()")
        await until(primary, "select bool_or(sync_state = 'sync') from pg_stat_replication")
        hosts = f"{first.url},{other.url.partition('host=')[2]}"
        settings = Settings(
            database_url=f"{hosts}&target_session_attrs=read-write",
            redis_url=redis_url,
            partitions=PARTITIONS,
            command_timeout=2.0,
        )
        async with running(settings) as client:
            load = Load(client)
            writers = [asyncio.create_task(load.write(number)) for number in range(4)]
            await load.continues()
            if ends == "killed":
                await primary.kill()
            else:
                first.blackhole()
            assert await ask(standby, "select pg_promote()")
            await load.continues()
            load.stopping = True
            await asyncio.gather(*writers)
            there = settings.model_copy(update={"database_url": standby.url})
            evidence = await as_the_log(there)
            assert {str(user) for user in evidence.users} == load.created


class Load:
    """Clients that create users, and send each command until it is acknowledged."""

    def __init__(self, client: Client) -> None:
        self.created: set[str] = set()
        self.stopping = False
        self._client = client

    async def write(self, number: int) -> None:
        while not self.stopping:
            key = f"{number}-{len(self.created)}"
            user = {"name": "A", "email": f"u{key}@a.example", "idempotencyKey": key}
            while "errors" in (answer := await self._client.send(CREATE, input=user)):
                [error] = answer["errors"]
                assert error["extensions"]["code"] == "WRITE_MODEL_UNAVAILABLE"
            self.created.add(answer["data"]["createUser"]["id"])

    async def continues(self) -> None:
        """Returns after ten more commands."""
        enough = len(self.created) + 10
        async with limited(30):
            while len(self.created) < enough:
                await asyncio.sleep(0.01)


def alice() -> dict[str, str]:
    return {"name": "Alice", "email": "alice@example.com", "idempotencyKey": "alice"}


async def created(client: Client) -> None:
    async with limited(30):
        while "errors" in (answer := await client.send(CREATE, input=alice())):
            [error] = answer["errors"]
            assert error["extensions"]["code"] == "WRITE_MODEL_UNAVAILABLE"


async def leave(primary: Postgres, standby: Postgres) -> None:
    """The standby stops following, as one does whose link is cut."""
    await ask(standby, "alter system set primary_conninfo = ''")
    await ask(standby, "select pg_reload_conf()")
    await until(primary, "select count(*) = 0 from pg_stat_replication")
