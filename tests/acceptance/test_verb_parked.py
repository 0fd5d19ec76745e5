"""tandem parked, as an operator uses it when an event cannot be applied."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest
from redis.asyncio import Redis

from domain.envelope import partition_of
from domain.users.events import UserId
from readside.redis_functions.keys import Partition
from tests.acceptance.service import running
from tests.acceptance.verbs import ask
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.settings import Settings
    from tests.acceptance.service import Client

RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }"
READ = "query($id: ID!, $v: Int) { user(id: $id, minVersion: $v) { name version orderCount } }"
BEHIND = "READ_MODEL_BEHIND"


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def poisoned(client: Client, log: asyncpg.Connection, settings: Settings) -> str:
    """Alice, whose second event nobody can read any more, and a third behind it."""
    user = await client.create_user()
    await client.place_order(user)
    await client.data(RENAME, input={"userId": user, "name": "Alicia"})
    await client.data(READ, id=user, v=3)
    await log.execute("update events set type = 'OrderDreamt' where version = 2")
    await ask(settings, "rebuild")
    assert await client.code(READ, id=user, v=2) == BEHIND
    return user


@pytest.fixture
def impatient(settings: Settings) -> Settings:
    return settings.model_copy(update={"read_timeout": 1.0})


async def test_what_is_not_in_the_log_cannot_be_dropped_and_is_no_more_after_a_retry(
    impatient: Settings,
) -> None:
    async with running(impatient) as client:
        user = await client.create_user()
        await client.data(READ, id=user, v=1)
        place = Partition(partition_of(UserId(UUID(user)), PARTITIONS))
        foreign = f'"user_id": "{user}", "version": 2, "type": "Foreign", "schema": 1, "data": {{}}'
        async with Redis.from_url(str(impatient.redis_url)) as redis:
            at = '"occurred_at": "2026-03-01T12:00:00+00:00"'
            await redis.xadd(place.stream, {"e": f"{{{foreign}, {at}}}"})
        while "unknown" not in (shown := await ask(impatient, "parked", "show", user)).out:
            assert shown.status == 1  # not yet parked
        dropped = await ask(impatient, "parked", "drop", user, "--reason", "foreign")
        assert (dropped.status, "not in the event log" in dropped.err) == (1, True)
        assert (await ask(impatient, "parked", "retry", user)).status == 0
        assert (await client.data(READ, id=user, v=1))["user"]["version"] == 1


async def test_who_is_parked_is_listed_and_shown_with_what_waits(
    impatient: Settings, log: asyncpg.Connection
) -> None:
    async with running(impatient) as client:
        assert (await ask(impatient, "parked", "list")).out == "No user is parked.\n"
        user = await poisoned(client, log, impatient)
        [one] = (await ask(impatient, "parked", "list", "--json")).json["parked"]
        assert (one["user"], one["version"], one["type"]) == (user, 2, "OrderDreamt")
        assert "OrderDreamt" in one["reason"]
        assert one["since"] is not None
        shown = await ask(impatient, "parked", "show", user, "--json")
        assert [(w["version"], w["type"]) for w in shown.json["waiting"]] == [(3, "UserRenamed")]
        for words in (["list"], ["show", user]):
            said = await ask(impatient, "parked", *words)
            assert user in said.out
            assert "Alic" not in said.out


async def test_a_retry_goes_on_once_what_was_wrong_is_mended(
    impatient: Settings, log: asyncpg.Connection
) -> None:
    async with running(impatient) as client:
        user = await poisoned(client, log, impatient)
        again = await ask(impatient, "parked", "retry", user)
        assert again.status == 1
        assert "parked at version 2" in again.out
        await log.execute("update events set type = 'OrderPlaced' where version = 2")
        mended = await ask(impatient, "parked", "retry", "--all", "--json")
        assert mended.status == 0
        assert mended.json["retried"] == [{"user": user, "version": 3, "parked": None}]
        found = (await client.data(READ, id=user, v=3))["user"]
        assert found == {"name": "Alicia", "version": 3, "orderCount": 1}
        assert (await ask(impatient, "verify")).status == 0


async def test_a_dropped_event_is_gone_for_the_user_and_for_every_later_rebuild(
    impatient: Settings, log: asyncpg.Connection
) -> None:
    async with running(impatient) as client:
        user = await poisoned(client, log, impatient)
        dropped = await ask(impatient, "parked", "drop", user, "--reason", "nobody dreams")
        assert dropped.status == 0, dropped
        without = {"name": "Alicia", "version": 3, "orderCount": 0}
        assert (await client.data(READ, id=user, v=3))["user"] == without
        assert await log.fetchval("select reason from skipped") == "nobody dreams"
        await log.execute("update events set type = 'OrderPlaced' where version = 2")
        assert (await ask(impatient, "rebuild")).status == 0
        assert (await client.data(READ, id=user, v=3))["user"] == without
        assert (await ask(impatient, "verify")).status == 0


async def test_what_cannot_be_dropped_or_retried_is_one_sentence(
    impatient: Settings, log: asyncpg.Connection
) -> None:
    nobody_at_work = await ask(impatient, "parked", "list")
    assert nobody_at_work.status == 1
    assert "no active read model" in nobody_at_work.err
    async with running(impatient) as client:
        user = await client.create_user()
        await client.data(READ, id=user, v=1)
        await log.execute("update events set data = '{}'")
        await ask(impatient, "rebuild")
        for words, what in (
            (["drop", user], "UserCreated cannot be dropped"),
            (["show", str(uuid4())], "is not parked"),
            (["retry"], "--all"),
        ):
            said = await ask(impatient, "parked", *words)
            assert said.status == 1
            assert len(said.err.splitlines()) == 1
            assert what in said.err
    await log.execute("delete from events")  # a relay that runs would have it all rebuilt
    assert "nothing to drop" in (await ask(impatient, "parked", "drop", user)).err
