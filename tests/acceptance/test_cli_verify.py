"""tandem verify, as an operator runs it on a service that is in use."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
from redis.asyncio import Redis

from api.roles import Role
from api.runtime.background import cancel_all
from tests.acceptance.cli import run_on
from tests.acceptance.service import running
from tests.processes import HOST, free_port

if TYPE_CHECKING:
    from api.settings import Settings
    from tests.acceptance.service import Client

NO_PROJECTOR = frozenset({Role.API, Role.RELAY})
RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }"


async def _load(client: Client) -> None:
    """Until it is cancelled, creates users that place and complete orders and are renamed."""
    number = 0
    while True:
        number += 1
        user = await client.create_user(f"User {number}", f"user{number}@example.com")
        await client.complete_order(await client.place_order(user))
        await client.data(RENAME, input={"userId": user, "name": "Another"})


async def test_under_load_there_is_no_false_alarm(settings: Settings) -> None:
    async with running(settings) as client:
        load = asyncio.create_task(_load(client))
        try:
            for _ in range(2):
                said = await run_on(settings, "verify", "--json")
                assert (said.status, said.json["differences"]) == (0, []), said
                assert said.json["users"] > 0
        finally:
            await cancel_all([load])
        assert "0 differences" in (await run_on(settings, "verify")).out


async def test_differences_are_reported_without_values_and_repaired(settings: Settings) -> None:
    async with running(settings) as client:
        alice = await client.create_user("Alice", "alice@example.com")
        await client.create_user("Bob", "bob@example.com")
    async with running(settings, NO_PROJECTOR), Redis.from_url(settings.redis_url or "") as redis:
        [key] = [key async for key in redis.scan_iter(match=f"*:user:{alice}")]
        await redis.hset(key, "name", "Mallory")
        [users] = [
            key async for key in redis.scan_iter(match="*:emails") if await redis.zcard(key)
        ][:1]
        await redis.zadd(users, {f"mallory@example.com {alice}": 0})
        said = await run_on(settings, "verify", "--patience", "1")
        assert said.status == 1
        for text in (alice, "name", "emails", "differences"):
            assert text in said.out
        for secret in ("Mallory", "mallory", "Alice", "alice@"):
            assert secret not in said.out
        values = await run_on(settings, "verify", "--show-values", "--json", "--user", alice)
        [name] = [one for one in values.json["differences"] if one["field"] == "name"]
        assert (name["should"], name["found"]) == ("Alice", "Mallory")
        repaired = await run_on(settings, "verify", "--repair", "--json", "--patience", "1")
        assert repaired.status == 0, repaired
        assert repaired.json["differences"] == []
        assert repaired.json["repaired"]
        assert (await run_on(settings, "verify", "--patience", "1")).status == 0


async def test_a_table_that_differs_from_the_log_is_reported_and_not_repaired(
    settings: Settings,
) -> None:
    async with running(settings) as client:
        await client.create_user()
        connection = await asyncpg.connect(settings.database_url)
        try:
            await connection.execute("update users set name = 'Mallory'")
        finally:
            await connection.close()
        said = await run_on(settings, "verify", "--repair", "--json")
        assert said.status == 1
        [one] = said.json["differences"]
        assert (one["model"], one["key"], one["field"]) == ("write", "users", "name")


async def test_where_it_cannot_look_it_says_so_in_one_sentence(settings: Settings) -> None:
    silent, nobody = f"redis://{HOST}:{free_port()}", "019aa205-f439-7e3a-affb-b4db950bf927"
    for said, what in (
        (await run_on(settings, "verify", "--user", nobody), f"The event log has no user {nobody}"),
        (
            await run_on(settings, "verify", "--patience", "0"),
            "Partition 0 has no active read model",
        ),
        (await run_on(settings, "verify", REDIS_URL=silent), "REDIS_URL"),
    ):
        assert said.status == 2
        assert said.out == ""
        assert len(said.err.splitlines()) == 1
        assert what in said.err
