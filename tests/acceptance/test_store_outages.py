"""Writes do not need Redis, reads do not need PostgreSQL, and no response is wrong meanwhile."""

from __future__ import annotations

from redis.asyncio import Redis

from api.roles import Role
from api.settings import Settings
from tests.acceptance.service import REBUILDING, running
from tests.processes import HOST, free_port

CREATE = """
    mutation($input: CreateUserInput!) { createUser(input: $input) { id version user { name } } }
"""
ALICE = {"name": "Alice", "email": "alice@example.com"}
READ = "query($id: ID!) { user(id: $id) { name } }"
API = frozenset({Role.API})


async def test_commands_are_executed_while_redis_is_unavailable(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": f"redis://{HOST}:{free_port()}/0"})
    async with running(away, API) as client:
        answer = await client.send(CREATE, input=ALICE)
        payload = answer["data"]["createUser"]
        assert payload["version"] == 1
        assert payload["user"] is None
        [error] = answer["errors"]
        assert error["path"] == ["createUser", "user"]
        assert error["extensions"]["code"] == "READ_MODEL_UNAVAILABLE"
        assert await client.code(READ, id=payload["id"]) == "READ_MODEL_UNAVAILABLE"
    async with running(settings) as client:
        assert await client.data(READ, id=payload["id"]) == {"user": {"name": "Alice"}}


async def test_queries_are_answered_while_postgresql_is_unavailable(settings: Settings) -> None:
    async with running(settings) as client:
        user_id = await client.create_user()
    nowhere = f"postgresql://nobody@{HOST}:{free_port()}/none"
    away = settings.model_copy(update={"database_url": nowhere})
    async with running(away, API) as client:
        assert await client.data(READ, id=user_id) == {"user": {"name": "Alice"}}
        assert await client.code(CREATE, input=ALICE) == "WRITE_MODEL_UNAVAILABLE"


async def test_before_the_read_model_is_built_no_query_says_that_a_user_does_not_exist(
    settings: Settings,
) -> None:
    async with running(settings, API) as client:
        payload = (await client.send(CREATE, input=ALICE))["data"]["createUser"]
        assert await client.code(READ, id=payload["id"]) == REBUILDING
        assert await client.code("{ users { totalCount } }") == REBUILDING


async def test_an_emptied_redis_repairs_itself_under_load(settings: Settings) -> None:
    async with running(settings) as client:
        before = [await client.create_user(f"User {n}", f"user{n}@example.com") for n in range(10)]
        async with Redis.from_url(str(settings.redis_url)) as redis:
            await redis.flushall()
        for n in range(10, 20):
            answer = await client.send(CREATE, input={"name": "U", "email": f"user{n}@example.com"})
            before.append(answer["data"]["createUser"]["id"])
        await client.until_built()
        for user_id in before:
            answer = await client.data(
                "query($id: ID!) { user(id: $id, minVersion: 1) { id } }", id=user_id
            )
            assert answer == {"user": {"id": user_id}}
        assert (await client.data("{ users { totalCount } }"))["users"]["totalCount"] == 20


async def test_a_user_whose_hash_was_lost_is_restored_and_never_reported_as_missing(
    settings: Settings,
) -> None:
    async with running(settings) as client:
        user_id = await client.create_user()
        async with Redis.from_url(str(settings.redis_url)) as redis:
            [key] = [key async for key in redis.scan_iter(match=f"*:user:{user_id}")]
            await redis.delete(key)
        assert await client.data(READ, id=user_id) == {"user": {"name": "Alice"}}


async def test_a_user_whose_hash_stays_lost_is_reported_as_rebuilding(settings: Settings) -> None:
    async with running(settings) as client:
        user_id = await client.create_user()
    async with Redis.from_url(str(settings.redis_url)) as redis:
        [key] = [key async for key in redis.scan_iter(match=f"*:user:{user_id}")]
        await redis.delete(key)
    async with running(settings.model_copy(update={"read_timeout": 0.3}), API) as client:
        assert await client.code(READ, id=user_id) == REBUILDING


async def test_another_number_of_partitions_never_answers_from_these_read_models(
    settings: Settings,
) -> None:
    async with running(settings) as client:
        user_id = await client.create_user()
    other = settings.model_copy(update={"partitions": 3})
    async with running(other, API) as client:
        assert await client.code(READ, id=user_id) == REBUILDING
