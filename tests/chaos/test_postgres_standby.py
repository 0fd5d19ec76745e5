"""A hot standby: nobody writes to it or reads its log, until it is the one that takes writes."""

from __future__ import annotations

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
