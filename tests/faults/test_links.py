"""Links that break in the middle of something: what the store and the relay make of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from uuid import UUID

import asyncpg
import pytest

from api import drivers
from api.settings import Settings
from domain.command import Answer
from domain.store import WriteModelUnavailable
from tests.domain.write_model import WriteModel, create
from tests.faults.proxy import Proxy, proxy


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Proxy]:
    async with proxy(database_url) as wire:
        yield wire


@asynccontextmanager
async def model_over(wire: Proxy, connections: int = 4) -> AsyncIterator[WriteModel]:
    settings = Settings(
        database_url=wire.url, database_connections=connections, command_timeout=2.0
    )
    async with drivers.database(settings) as pool:
        try:
            yield WriteModel(pool)
        finally:
            pool.terminate()


async def count(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("select count(*) from events"))
    finally:
        await connection.close()


async def test_a_lost_reply_to_commit_is_unknown_and_the_key_tells(
    wire: Proxy, database_url: str
) -> None:
    async with model_over(wire) as model:
        command = create("Alice", "alice@example.com", key="once")
        lost = wire.cut_at_commit()
        with pytest.raises(WriteModelUnavailable, match="not known"):
            await model.store.execute(command)
        assert lost.fired.is_set()
        assert await count(database_url) == 1
        answer = await model.ask(create("Alice", "alice@example.com", key="once"))
        assert (answer.id, answer.version) == (command.user_id, 1)
        assert await count(database_url) == 1


async def test_a_link_cut_at_any_byte_never_carries_a_command_out_twice(
    wire: Proxy, database_url: str
) -> None:
    random = Random(7)
    async with model_over(wire, connections=2) as model:
        for number in range(60):
            wire.cut_after(random.randint(0, 400))
            answers: set[UUID] = set()
            while not answers:
                command = create("Alice", f"alice{number}@example.com", key=f"key {number}")
                try:
                    answers.add((await model.ask(command)).id)
                except WriteModelUnavailable:
                    continue
            wire.heal()
            again = await model.ask(
                create("Alice", f"alice{number}@example.com", key=f"key {number}")
            )
            assert answers == {again.id}
    assert await count(database_url) == 60


async def test_a_command_cancelled_at_any_moment_is_carried_out_once_by_its_retry(
    wire: Proxy, database_url: str
) -> None:
    random = Random(11)
    async with model_over(wire, connections=2) as model:
        await model.user()
        for number in range(60):
            attempt = asyncio.create_task(
                model.store.execute(create("B", f"b{number}@example.com", key=f"{number}"))
            )
            await asyncio.sleep(random.uniform(0, 0.004))
            attempt.cancel()
            await asyncio.wait([attempt])
            retry = await model.store.execute(
                create("B", f"b{number}@example.com", key=f"{number}")
            )
            assert isinstance(retry, Answer)
            assert retry.version == 1
    assert await count(database_url) == 61


async def test_a_connection_whose_server_has_said_goodbye_is_unavailable_and_replaced(
    wire: Proxy, database_url: str
) -> None:
    async with model_over(wire, connections=2) as model:
        await model.user()
        [link] = wire.links
        link.deaf = True  # the goodbye arrives, the end of the connection does not
        await end_backends(database_url)
        while not link.server.ended:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)  # the goodbye is on its way through the kernel
        with pytest.raises(WriteModelUnavailable):
            await model.user("Bob", "bob@example.com")
        await model.user("Carol", "carol@example.com")


async def end_backends(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tandem'"
            " and datname = current_database()"
        )
    finally:
        await connection.close()


async def test_a_truncated_answer_is_an_error_and_never_a_value(
    wire: Proxy, database_url: str
) -> None:
    async with model_over(wire, connections=2) as model:
        await model.user()
        for _ in range(20):
            cut = wire.truncate_next("left join users")
            wanted = create("Alice", "alice@example.com")  # taken: decided after a read
            with pytest.raises(WriteModelUnavailable):
                while not cut.fired.is_set():
                    await model.refused(wanted)
        await model.user("Bob", "bob@example.com")
    assert await count(database_url) == 2
