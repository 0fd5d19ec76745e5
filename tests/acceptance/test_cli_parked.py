"""tandem parked: lists, shows, retries and drops users at an event that cannot be applied."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest
from redis.asyncio import Redis

from domain.envelope import partition_of
from domain.users.events import UserId
from readside.redis_functions.keys import Partition
from tests.acceptance.cli import tandem
from tests.acceptance.service import running
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
    """Creates Alice, whose second event cannot be decoded, with a third event after it."""
    user = await client.create_user()
    await client.place_order(user)
    await client.data(RENAME, input={"userId": user, "name": "Alicia"})
    await client.data(READ, id=user, v=3)
    await log.execute("update events set type = 'OrderDreamt' where version = 2")
    await tandem(settings, "rebuild")
    assert await client.code(READ, id=user, v=2) == BEHIND
    return user


@pytest.fixture
def impatient(settings: Settings) -> Settings:
    return settings.model_copy(update={"read_timeout": 1.0})


async def test_an_event_that_is_not_in_the_log_cannot_be_dropped_and_is_gone_after_a_retry(
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
        while "unknown" not in (shown := await tandem(impatient, "parked", "show", user)).out:
            assert shown.status == 1  # not yet parked
        dropped = await tandem(impatient, "parked", "drop", user, "--reason", "foreign")
        assert (dropped.status, "not in the event log" in dropped.err) == (1, True)
        assert (await tandem(impatient, "parked", "retry", user)).status == 0
        assert (await client.data(READ, id=user, v=1))["user"]["version"] == 1


async def test_parked_users_are_listed_and_shown_with_the_events_that_wait(
    impatient: Settings, log: asyncpg.Connection
) -> None:
    async with running(impatient) as client:
        assert (await tandem(impatient, "parked", "list")).out == "No aggregate is parked.\n"
        user = await poisoned(client, log, impatient)
        [one] = (await tandem(impatient, "parked", "list", "--json")).json["parked"]
        assert (one["user"], one["version"], one["type"]) == (user, 2, "OrderDreamt")
        assert "OrderDreamt" in one["reason"]
        assert one["since"] is not None
        shown = await tandem(impatient, "parked", "show", user, "--json")
        assert [(w["version"], w["type"]) for w in shown.json["waiting"]] == [(3, "UserRenamed")]
        for words in (["list"], ["show", user]):
            output = await tandem(impatient, "parked", *words)
            assert user in output.out
            assert "Alic" not in output.out


async def test_a_retry_succeeds_once_the_event_is_corrected(
    impatient: Settings, log: asyncpg.Connection
) -> None:
    async with running(impatient) as client:
        user = await poisoned(client, log, impatient)
        again = await tandem(impatient, "parked", "retry", user)
        assert again.status == 1
        assert "parked at version 2" in again.out
        await log.execute("update events set type = 'OrderPlaced' where version = 2")
        retried = await tandem(impatient, "parked", "retry", "--all", "--json")
        assert retried.status == 0
        assert retried.json["retried"] == [{"user": user, "version": 3, "parked": None}]
        found = (await client.data(READ, id=user, v=3))["user"]
        assert found == {"name": "Alicia", "version": 3, "orderCount": 1}
        assert (await tandem(impatient, "verify")).status == 0


async def test_a_dropped_event_is_gone_for_the_user_and_for_every_later_rebuild(
    impatient: Settings, log: asyncpg.Connection
) -> None:
    async with running(impatient) as client:
        user = await poisoned(client, log, impatient)
        dropped = await tandem(impatient, "parked", "drop", user, "--reason", "not a real event")
        assert dropped.status == 0, dropped
        without = {"name": "Alicia", "version": 3, "orderCount": 0}
        assert (await client.data(READ, id=user, v=3))["user"] == without
        assert await log.fetchval("select reason from skipped") == "not a real event"
        await log.execute("update events set type = 'OrderPlaced' where version = 2")
        assert (await tandem(impatient, "rebuild")).status == 0
        assert (await client.data(READ, id=user, v=3))["user"] == without
        assert (await tandem(impatient, "verify")).status == 0


async def test_a_drop_or_retry_that_is_refused_is_one_line(
    impatient: Settings, log: asyncpg.Connection
) -> None:
    no_read_model = await tandem(impatient, "parked", "list")
    assert no_read_model.status == 1
    assert "no active read model" in no_read_model.err
    async with running(impatient) as client:
        user = await client.create_user()
        await client.data(READ, id=user, v=1)
        await log.execute("update events set data = '{}'")
        await tandem(impatient, "rebuild")
        for words, what in (
            (["drop", user], "UserCreated cannot be dropped"),
            (["show", str(uuid4())], "is not parked"),
            (["retry"], "--all"),
        ):
            output = await tandem(impatient, "parked", *words)
            assert output.status == 1
            assert len(output.err.splitlines()) == 1
            assert what in output.err
    await log.execute("delete from events")  # a running relay would have all of it rebuilt
    assert "nothing to drop" in (await tandem(impatient, "parked", "drop", user)).err
