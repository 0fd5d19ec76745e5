"""tandem verify: on a service that is in use, with differences, and with repairs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
from redis.asyncio import Redis

from api.roles import Role
from api.runtime.background import cancel_all
from tests.acceptance.cli import tandem
from tests.acceptance.service import running
from tests.processes import HOST, free_port

if TYPE_CHECKING:
    from api.settings import Settings
    from tests.acceptance.service import Client

NO_PROJECTOR = frozenset({Role.API, Role.RELAY})
RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }"


async def _load(client: Client) -> None:
    """Creates users with orders and renames them, until it is cancelled."""
    number = 0
    while True:
        number += 1
        user = await client.create_user(f"User {number}", f"user{number}@example.com")
        await client.complete_order(await client.place_order(user))
        await client.data(RENAME, input={"userId": user, "name": "Another"})


async def test_under_load_it_reports_no_difference(settings: Settings) -> None:
    async with running(settings) as client:
        load = asyncio.create_task(_load(client))
        try:
            for _ in range(2):
                output = await tandem(settings, "verify", "--json")
                assert (output.status, output.json["differences"]) == (0, []), output
                assert output.json["users"] > 0
        finally:
            await cancel_all([load])
        assert "0 differences" in (await tandem(settings, "verify")).out


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
        await redis.zadd(users, {f"mallory@example.com\t{alice}": 0})
        output = await tandem(settings, "verify", "--patience", "1")
        assert output.status == 1
        for text in (alice, "name", "emails", "differences"):
            assert text in output.out
        for secret in ("Mallory", "mallory", "Alice", "alice@"):
            assert secret not in output.out
        values = await tandem(settings, "verify", "--show-values", "--json", "--user", alice)
        [name] = [one for one in values.json["differences"] if one["field"] == "name"]
        assert (name["should"], name["found"]) == ("Alice", "Mallory")
        repaired = await tandem(settings, "verify", "--repair", "--json", "--patience", "1")
        assert repaired.status == 0, repaired
        assert repaired.json["differences"] == []
        assert repaired.json["repaired"]
        assert (await tandem(settings, "verify", "--patience", "1")).status == 0


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
        output = await tandem(settings, "verify", "--repair", "--json")
        assert output.status == 1
        [one] = output.json["differences"]
        assert (one["model"], one["key"], one["field"]) == ("write", "users", "name")


async def test_a_verification_that_is_impossible_is_one_line(settings: Settings) -> None:
    silent, unknown = f"redis://{HOST}:{free_port()}", "019aa205-f439-7e3a-affb-b4db950bf927"
    for output, what in (
        (
            await tandem(settings, "verify", "--user", unknown),
            f"The event log has no aggregate {unknown}",
        ),
        (
            await tandem(settings, "verify", "--patience", "0"),
            "Partition 0 has no active read model",
        ),
        (await tandem(settings, "verify", REDIS_URL=silent), "REDIS_URL"),
    ):
        assert output.status == 2
        assert output.out == ""
        assert len(output.err.splitlines()) == 1
        assert what in output.err
