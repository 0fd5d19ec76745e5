"""A second event log comes to a Redis that is in use: it is refused until it is to take over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec
import pytest
from structlog.testing import capture_logs

from api.roles import Role
from api.runtime import drivers
from api.settings import Settings
from domain.migrate import migrate
from readside.redis_functions.keys import Partition
from tests.acceptance.cli import environment
from tests.acceptance.service import Client, running
from tests.chaos.cluster import PARTITIONS as FEWER
from tests.chaos.convergence import as_the_log
from tests.chaos.dumps import database_of, dump_of, execute, restore, with_database
from tests.chaos.stores import postgres
from tests.chaos.test_postgres_lost_tail import USER, rename
from tests.forked import start
from tests.limited import limited
from tests.processes import HOST, free_port
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from tests.forked import Member

SERVING = ("serve", "api", "relay", "projector")
VERBS = {
    "rebuild": 1,
    "verify": 2,
    "parked list": 1,
    "generations list": 1,
    "restored": 1,
    "status": 2,
}
"""The exit status of each that cannot work; 1 of `verify` and `status` means that something is wrong."""

CREATE = "mutation($input: CreateUserInput!) { createUser(input: $input) { id } }"

BURN = """
    set synchronous_commit = off;
    do $$ begin for number in 1..20000 loop perform pg_current_xact_id(); commit; end loop; end $$
"""


class Tandem:
    """Processes of `tandem`, on the stores of some settings."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.members: list[Member] = []

    def start(self, settings: Settings, words: str) -> Member:
        more = {"HOST": HOST, "PORT": str(free_port()), "MUTANT": "", "FAILPOINTS": ""}
        log = self._place / f"{len(self.members)} {words}.log"
        env = environment(settings, **more)
        self.members.append(start(words, words.split(), env, log))
        return self.members[-1]

    async def run(self, settings: Settings, words: str) -> tuple[int, str]:
        """Returns the exit status of a process that must end by itself, and all that it wrote."""
        member = self.start(settings, words)
        async with limited(30):
            await member.ended()
        assert member.returncode is not None
        return member.returncode, member.log.read_text()


@pytest.fixture
async def tandem(tmp_path: Path) -> AsyncIterator[Tandem]:
    tandem = Tandem(tmp_path)
    yield tandem
    for member in tandem.members:
        member.kill()
        await member.ended()


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=database_url, redis_url=redis_url, partitions=PARTITIONS, read_timeout=5.0
    )


async def migrated(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        await migrate(connection, PARTITIONS)
    finally:
        await connection.close()
    return url


@asynccontextmanager
async def another_database(url: str) -> AsyncIterator[str]:
    async with made(url, "") as other:
        yield await migrated(other)


@asynccontextmanager
async def a_copy_of_the_database(url: str) -> AsyncIterator[str]:
    """It has the UUID and all events of the other."""
    async with made(url, f"template {database_of(url)}") as other:
        yield other


@asynccontextmanager
async def made(url: str, how: str) -> AsyncIterator[str]:
    name = f"{database_of(url)}_staging"
    server = with_database(url, "postgres")
    await execute(server, f"create database {name} {how}")
    try:
        yield with_database(url, name)
    finally:
        await execute(server, f"drop database {name} with (force)")


@asynccontextmanager
async def another_schema(url: str) -> AsyncIterator[str]:
    await execute(url, "create schema tenant")
    yield await migrated(f"{url}&options=-csearch_path%3Dtenant")


def assert_refused(said: tuple[int, str], status: int = 1) -> None:
    """One sentence, and nothing else, was written to the log of the process."""
    assert said[0] == status, said
    [line] = said[1].splitlines()
    assert line.startswith("tandem: Redis holds the streams and read models of another event log")
    assert "REDIS_PREFIX" in line
    assert "`tandem restored --take-over`" in line


async def in_redis(settings: Settings) -> list[Any]:
    """Which generations there are, and which serves, of each partition."""
    places = [Partition(number).generations for number in range(settings.partitions)]
    async with drivers.redis_for_monitoring(settings) as redis:
        return [await redis.hgetall(place) for place in places]


@pytest.mark.parametrize("another", [another_database, a_copy_of_the_database, another_schema])
async def test_a_service_of_another_log_ends_at_its_start_and_disturbs_nothing(
    settings: Settings, tandem: Tandem, another: Any
) -> None:
    async with running(settings) as client:
        user_id = await client.create_user()
        assert (await client.data(USER, id=user_id, v=1))["user"]["version"] == 1
    async with another(str(settings.database_url)) as url:
        with capture_logs() as logs:
            async with running(settings) as client:
                other = settings.model_copy(update={"database_url": url})
                before = await in_redis(settings)
                assert_refused(await tandem.run(other, "serve"))
                assert await rename(client, user_id, "Renamed") == 2
                found = await client.data(USER, id=user_id, v=2)
                assert found["user"] == {"name": "Renamed", "version": 2}
                assert await in_redis(settings) == before
                await as_the_log(settings)
    assert [line for line in logs if line["event"].startswith("relay.")] == []


async def test_each_role_and_each_verb_refuses_another_log_and_doctor_reports_it(
    settings: Settings, tandem: Tandem
) -> None:
    async with running(settings) as client, another_database(str(settings.database_url)) as url:
        await client.create_user()
        other = settings.model_copy(update={"database_url": url})
        before = await as_the_log(settings)
        expected = dict.fromkeys(SERVING, 1) | VERBS
        found = await asyncio.gather(*[tandem.run(other, words) for words in expected])
        for one, status in zip(found, expected.values(), strict=True):
            assert_refused(one, status)
        status, said = await tandem.run(other, "doctor --json")
        [finding] = [
            one for one in msgspec.json.decode(said)["findings"] if one["level"] == "wrong"
        ]
        assert status == 1
        assert finding["what"] == "event log"
        assert "`tandem restored --take-over`" in finding["says"]
        status, said = await tandem.run(settings, "doctor --json")
        assert status == 0
        assert "event log" in [one["what"] for one in msgspec.json.decode(said)["findings"]]
        assert (await as_the_log(settings)).keys.keys() >= before.keys.keys() - of_processes(before)


def of_processes(evidence: Any) -> set[str]:
    """Keys that come and go with the processes."""
    return {key for key in evidence.keys if ":owner:" in key or ":projectors:" in key}


async def test_a_service_whose_database_was_restored_rebuilds_its_read_models_on_demand(
    settings: Settings, tandem: Tandem
) -> None:
    async with running(settings) as client:
        user_id = await client.create_user()
        before = await as_the_log(settings)
        status, said = await tandem.run(settings, "restored")
        assert status == 0, said
        await client.until_built()
        assert await rename(client, user_id, "Renamed") == 2
        found = await client.data(USER, id=user_id, v=2)
        assert found["user"] == {"name": "Renamed", "version": 2}
        after = await as_the_log(settings)
    for number in range(PARTITIONS):
        assert before.serving(number) != after.serving(number)


async def test_a_database_on_another_server_takes_over_and_shows_every_event_of_the_dump(
    settings: Settings, tandem: Tandem, template: Path, tmp_path: Path, data_dir: Path
) -> None:
    data_dir.mkdir()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(postgres(data_dir / "a", template=template))
        first = settings.model_copy(update={"database_url": server.url, "partitions": FEWER})
        await execute(server.url, *BURN.split(";", 1))
        async with running(first) as client:
            users = await created(client, "carried")
            await client.data(USER, id=users[0], v=1)
        async with running(first, frozenset({Role.API})) as client:
            users += await created(client, "unpublished")
        dump = tmp_path / "dump"
        await dump_of(server.url, dump)
        members = [tandem.start(first, role) for role in SERVING]
        await as_the_log(first)

        other = await stack.enter_async_context(postgres(data_dir / "b"))
        await restore(other.url, dump)
        second = first.model_copy(update={"database_url": other.url})
        assert_refused(await tandem.run(second, "restored"))
        status, said = await tandem.run(second, "restored --take-over")
        assert status == 0, said
        async with limited(30):
            for member in members:
                await member.ended()
        for member in members:
            assert member.returncode == 1
            assert "`tandem restored --take-over`" in member.log.read_text()

        async with running(second) as client:
            for user_id in users:
                assert (await client.data(USER, id=user_id, v=1))["user"]["version"] == 1
            assert await rename(client, users[0], "Renamed") == 2
            assert (await client.data(USER, id=users[0], v=2))["user"]["version"] == 2
            await as_the_log(second)
            metrics = (await client.http.get("/metrics")).text
            _, said = await tandem.run(second, "status --json")
    counted = [
        float(line.rpartition(" ")[2])
        for line in metrics.splitlines()
        if line.startswith("tandem_relay_foreign_events{")
    ]
    partitions = msgspec.json.decode(said)["look"]["partitions"]
    assert sum(counted) == len(users)
    assert sum(one["backlog"]["foreign"] for one in partitions) == len(users)


async def created(client: Client, kind: str) -> list[str]:
    """Creates some users without waiting until they can be read."""
    given = [{"name": kind, "email": f"{kind}{number}@example.com"} for number in range(3)]
    answers = [await client.data(CREATE, input=one) for one in given]
    return [answer["createUser"]["id"] for answer in answers]
