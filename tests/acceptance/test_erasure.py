"""eraseUser in the whole service: afterwards neither store nor any log has personal data of the user."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from tests import remains
from tests.acceptance.service import Client
from tests.acceptance.test_processes import tandem
from tests.chaos.convergence import as_the_log
from tests.limited import limited
from tests.processes import free_port
from tests.stores import PARTITIONS, OwnStores

if TYPE_CHECKING:
    from pathlib import Path

    from api.settings import Settings

WORDS = ("Wilhelmina", "Zebedee", "wilma@example.com", "zeb@example.com")
CREATE = """mutation($input: CreateUserInput!) {
  createUser(input: $input) { id version errors { __typename } }
}"""
RENAME = """mutation($input: RenameUserInput!) {
  renameUser(input: $input) { id version errors { __typename } }
}"""
UPDATE = """mutation($input: UpdateUserEmailInput!) {
  updateUserEmail(input: $input) { id version errors { __typename } }
}"""
ERASE = """mutation($input: EraseUserInput!) {
  eraseUser(input: $input) { id version errors { __typename } }
}"""


async def told(client: Client, document: str, **given: object) -> dict[str, Any]:
    """The payload, whatever it says."""
    [payload] = (await client.data(document, input=given)).values()
    found: dict[str, Any] = payload
    return found


async def wilhelmina(client: Client) -> str:
    """Creates a user with data in every place: names, addresses, orders, keys, refusals."""
    given = {"name": WORDS[0], "email": WORDS[2], "idempotencyKey": f"sign up {WORDS[2]}"}
    made = (await told(client, CREATE, **given))["id"]
    assert (await told(client, CREATE, **given))["id"] == made
    order = await client.place_order(made)
    await client.place_order(made, "7.00")
    await client.complete_order(order)
    await told(client, RENAME, userId=made, name=WORDS[1], idempotencyKey="rename")
    await told(client, RENAME, userId=made, name=WORDS[1], idempotencyKey="renamed already")
    await told(client, UPDATE, userId=made, email=WORDS[3], idempotencyKey=f"to {WORDS[3]}")
    taken = await told(client, CREATE, name=WORDS[0], email=WORDS[3].upper())
    assert taken["errors"] == [{"__typename": "EmailAlreadyRegistered"}]
    return str(made)


async def gone(settings: Settings) -> None:
    """Waits until both stores are as the log says, and hold none of the words."""
    found: dict[str, list[str]] = {}
    try:
        async with limited(15):
            while True:
                await as_the_log(settings)
                urls = str(settings.database_url), str(settings.redis_url)
                found = await remains.of(WORDS, *urls)
                if not found:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError("\n".join(itertools.chain(*found.values()))) from None


async def test_after_an_erasure_neither_store_nor_any_log_has_personal_data(
    settings: Settings, stores: OwnStores, tmp_path: Path
) -> None:
    port = free_port()
    environment = {
        "DATABASE_URL": str(settings.database_url),
        "REDIS_URL": str(settings.redis_url),
        "PARTITIONS": str(PARTITIONS),
        "LOG_LEVEL": "debug",
    }
    async with tandem(tmp_path, "serve", port=port, **environment) as (_, client):
        other = await client.create_user()
        made = await wilhelmina(client)
        erased = await told(client, ERASE, userId=made, idempotencyKey="erase")
        await gone(settings)
        assert await told(client, ERASE, userId=made, idempotencyKey="erase") == erased
        again = await told(client, CREATE, name="Somebody", email=WORDS[3])
        assert again["errors"] == []
        assert again["id"] not in {made, other}
    logs = [
        tmp_path / f"serve-{port}.log",
        *(server.program.log for server in stores.stores.servers),
    ]
    said = "".join(log.read_text() for log in logs)
    assert "command.executed" in said
    assert "users_email_key" in said  # PostgreSQL reports the duplicate address, without its value
    assert [word for word in WORDS if word.lower() in said.lower()] == []


async def test_a_user_erased_during_other_commands_leaves_no_personal_data(
    client: Client, settings: Settings
) -> None:
    """Refused commands and those in flight leave nothing either."""
    made = [await wilhelmina_number(client, number) for number in range(8)]
    for user_id in made:
        await asyncio.gather(
            told(client, RENAME, userId=user_id, name=WORDS[0], idempotencyKey=f"a {user_id}"),
            told(client, RENAME, userId=user_id, name=WORDS[1], idempotencyKey=f"b {user_id}"),
            told(client, ERASE, userId=user_id),
            told(client, RENAME, userId=user_id, name=WORDS[1], idempotencyKey=f"c {user_id}"),
        )
    await gone(settings)


async def wilhelmina_number(client: Client, number: int) -> str:
    made = await told(client, CREATE, name=WORDS[0], email=f"{number}.{WORDS[2]}")
    return str(made["id"])


async def test_a_read_model_that_is_built_after_an_erasure_is_the_same_and_has_all_the_numbers(
    client: Client, settings: Settings
) -> None:
    user_id = await wilhelmina(client)
    version = (await told(client, ERASE, userId=user_id))["version"]
    await gone(settings)
    async with Redis.from_url(str(settings.redis_url)) as redis:
        await redis.flushall()
    await client.until_built()
    await gone(settings)
    evidence = await as_the_log(settings)
    assert [event.version for event in evidence.events] == list(range(1, version + 1))
    assert sorted(order["total"] for order in evidence.orders.values()) == [700, 1250]
