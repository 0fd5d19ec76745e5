"""Tandem as processes: started, stopped and killed from a terminal, and with roles in separate processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from api.embedded.postgres import database_url as embedded_database_url
from tests import forked
from tests.acceptance.cli import tandem_with
from tests.acceptance.service import Client
from tests.limited import limited
from tests.processes import HOST, TANDEM, ended, free_port, running
from tests.stores import fast_temp

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from tests.forked import Member

P = TypeVar("P", "Process", "Member")
PROTOCOL = Subprotocol("graphql-transport-ws")
MIGRATING = 0x7A9D_E801
WAITING = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
A_COPIED_EVENT = """
    insert into events (position, partition, user_id, version, type, schema, data, metadata, occurred_at)
    overriding system value values (7, 0, gen_random_uuid(), 1, 'UserCreated', 1, '{}', '{}', now())
"""
USER = "query($id: ID!) { user(id: $id, minVersion: 1) { name } }"


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tandem-process-", dir=fast_temp()) as place:
        yield Path(place)


def settings_of(place: Path, port: int) -> dict[str, str]:
    """Returns the settings of a process that keeps its data in a directory."""
    return {"HOST": HOST, "PORT": str(port), "DATA_DIR": str(place / "data")}


@asynccontextmanager
async def tandem(
    place: Path, *words: str, port: int, **settings: str
) -> AsyncIterator[tuple[Member, Client]]:
    """A process, forked, and a client of it, once it answers queries."""
    log = place / f"{words[0]}-{port}.log"
    program = forked.running(*words, env={**settings_of(place, port), **settings}, log=log)
    async with answering(program, port, log) as started:
        yield started


@asynccontextmanager
async def answering(
    program: AbstractAsyncContextManager[P], port: int, log: Path
) -> AsyncIterator[tuple[P, Client]]:
    """A process and a client of it, once it answers queries."""
    async with (
        program as process,
        httpx.AsyncClient(base_url=f"http://{HOST}:{port}", verify=False) as http,
    ):
        client = Client(http)
        await _answers(process, client, log)
        yield process, client


async def _answers(process: Process | Member, client: Client, log: Path) -> None:
    async with limited(30):
        while process.returncode is None:
            try:
                return await client.until_built()
            except httpx.TransportError:
                await asyncio.sleep(0.02)
    raise AssertionError(log.read_text())


async def refused(*words: str, **environment: str) -> str:
    """Returns the error of a command that cannot run. It must be one line, without a traceback."""
    output = await tandem_with(environment, *words)
    assert output.status == 1
    assert len(output.err.splitlines()) == 1, output.err
    return output.err


def servers_of(place: Path) -> list[str]:
    """The store processes that live in a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(place):
                found.append(f"{process.name} {(process / 'comm').read_text().strip()}")
        except OSError:
            continue  # it ended while we looked
    return found


async def test_data_survives_sigterm_and_a_new_start(place: Path) -> None:
    port = free_port()
    log = place / f"up-{port}.log"
    async with tandem(place, "up", port=port) as (process, client):
        user_id = await client.create_user()
        process.send_signal(signal.SIGTERM)
        assert await ended(process, 20) == 0
    assert servers_of(place) == []
    first_run = log.read_text()
    assert re.search(r"Migrations applied: +0001_write_model\.sql, 0002_", first_run)
    async with tandem(place, "up", port=port) as (_, client):
        assert await client.data(USER, id=user_id) == {"user": {"name": "Alice"}}
    assert "0001_write_model.sql" not in log.read_text().removeprefix(first_run)


async def test_ctrl_c_to_the_whole_group_stops_cleanly(place: Path) -> None:
    port, log = free_port(), place / "up.log"
    program = running(TANDEM, "up", env=settings_of(place, port), log=log)
    async with answering(program, port, log) as (process, client):
        await client.create_user()
        os.killpg(process.pid, signal.SIGINT)
        assert await ended(process, 20) == 0
    assert servers_of(place) == []
    last_line = log.read_text().splitlines()[-1]
    assert last_line == f"Tandem has stopped. Its data is kept in {place / 'data'}."


async def test_after_kill_9_nothing_is_left_and_the_next_start_has_every_user(place: Path) -> None:
    port = free_port()
    async with tandem(place, "up", port=port) as (process, client):
        made = [await client.create_user(f"User {n}", f"user{n}@example.com") for n in range(20)]
        process.kill()
        await process.wait()
    async with tandem(place, "up", port=port) as (_, client):
        answer = await client.data("{ users(first: 100) { nodes { id } } }")
        assert {node["id"] for node in answer["users"]["nodes"]} == set(made)
    assert servers_of(place) == []


async def test_a_taken_port_is_one_sentence(place: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        said = await refused("up", PORT=port, DATA_DIR=str(place / "data"))
    assert f"Port {port}" in said
    assert not (place / "data").exists()


async def test_a_data_directory_in_use_is_one_sentence(place: Path) -> None:
    async with tandem(place, "up", port=free_port()) as (process, _):
        said = await refused("up", PORT=str(free_port()), DATA_DIR=str(place / "data"))
        assert str(process.pid) in said


async def test_a_missing_or_wrong_setting_is_one_sentence() -> None:
    assert "DATABASE_URL" in await refused("serve", DATABASE_URL="", REDIS_URL="")
    assert "PORT" in await refused("up", PORT="http")
    assert "REDIS_URL" in await refused("serve", REDIS_URL="localhost:6379")
    away = f"postgresql://nobody@{HOST}:{free_port()}/none"
    assert "DATABASE_URL" in await refused("migrate", DATABASE_URL=away)


async def test_roles_run_as_processes_of_their_own(
    place: Path, empty_database_url: str, redis_url: str
) -> None:
    environment = {"DATABASE_URL": empty_database_url, "REDIS_URL": redis_url}
    await _migrated(environment)
    async with AsyncExitStack() as stack:
        for role in ("relay", "projector"):
            log = place / f"{role}.log"
            await stack.enter_async_context(forked.running(role, env=environment, log=log))
        _, client = await stack.enter_async_context(
            tandem(place, "api", port=free_port(), **environment)
        )
        user_id = await client.create_user()
        assert await client.data(USER, id=user_id) == {"user": {"name": "Alice"}}


async def test_a_subscription_shows_the_present_state_and_then_each_change(place: Path) -> None:
    port = free_port()
    async with tandem(place, "up", port=port) as (_, client):
        user_id = await client.create_user()
        watch = "subscription($id: ID!) { userChanged(id: $id) { version orderCount } }"
        async with connect(f"ws://{HOST}:{port}/graphql", subprotocols=[PROTOCOL]) as socket:
            await socket.send(json.dumps({"type": "connection_init"}))
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            payload = {"query": watch, "variables": {"id": user_id}}
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            seen = [json.loads(await socket.recv())["payload"]["data"]["userChanged"]]
            for _ in range(3):
                await client.place_order(user_id)
                seen.append(json.loads(await socket.recv())["payload"]["data"]["userChanged"])
    assert seen == [{"version": n, "orderCount": n - 1} for n in (1, 2, 3, 4)]


async def test_a_role_with_other_partitions_is_refused(
    database_url: str, redis_url: str, empty_database_url: str
) -> None:
    urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    await _migrated(urls)
    for role in ("api", "relay", "projector"):
        assert "PARTITIONS=8" in await refused(role, PARTITIONS="3", PORT="0", **urls)
    assert "tandem migrate" in await refused(
        "relay", DATABASE_URL=empty_database_url, REDIS_URL=redis_url
    )


@pytest.mark.parametrize("words", [("serve",), ("api", "--workers", "2")])
async def test_a_log_copied_without_its_sequence_is_one_sentence(
    database_url: str, redis_url: str, words: tuple[str, ...]
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(A_COPIED_EVENT)
    await connection.close()
    urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PORT": "0"}
    said = await refused(*words, LOG_FORMAT="json", **urls)
    assert "select setval('public.events_position_seq', 7);" in said


async def test_up_refuses_a_log_copied_without_its_sequence(place: Path) -> None:
    async with tandem(place, "up", port=free_port()) as (_, client):
        await client.create_user()
        url = embedded_database_url(place / "data" / "run")
        connection = await asyncpg.connect(url)
        await connection.execute("alter table events alter column position restart")
        await connection.close()
    said = await refused("up", PORT="0", DATA_DIR=str(place / "data"))
    assert "select setval('public.events_position_seq', 1);" in said


@pytest.mark.parametrize("role", ["serve", "api", "relay", "projector"])
async def test_a_redis_that_may_evict_is_one_sentence(
    database_url: str, redis_url: str, role: str
) -> None:
    urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PORT": "0"}
    async with Redis.from_url(redis_url) as redis:
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            said = await refused(role, LOG_FORMAT="json", **urls)
        finally:
            await redis.config_set("maxmemory-policy", "noeviction")
    assert "allkeys-lru" in said
    assert "set maxmemory-policy to noeviction" in said


async def test_a_loop_that_fails_ends_its_process_and_the_log_says_why(
    place: Path, database_url: str, redis_url: str
) -> None:
    env = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "LOG_FORMAT": "json"}
    log, port = place / "log", str(free_port())
    async with forked.running("relay", env={**env, "HEALTH_PORT": port}, log=log) as process:
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}") as http:
            await _ready(http)
        connection = await asyncpg.connect(database_url)
        await connection.execute("""
            alter table events alter xid drop default, alter xid type text using xid::text
        """)
        await connection.close()
        assert await ended(process, 20) == 1
    *_, fell, said = log.read_text().splitlines()
    assert json.loads(fell)["worker"] == "relay"
    assert json.loads(fell)["error"].endswith("UndefinedFunctionError")
    assert said == "tandem: The relay loop ended, so the process ends too; the log says why."


async def test_a_start_that_waits_can_be_stopped(place: Path, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("select pg_advisory_lock($1)", MIGRATING)
        env = {"DATABASE_URL": database_url, "REDIS_URL": f"redis://{HOST}:{free_port()}"}
        async with forked.running("serve", env=env, log=place / "log") as process:
            async with limited(20):
                while not await connection.fetchval(WAITING):
                    await asyncio.sleep(0.02)
            process.send_signal(signal.SIGINT)
            assert await ended(process, 10) == 0
    finally:
        await connection.close()


async def test_an_open_event_stream_is_ended_when_the_service_stops(place: Path) -> None:
    async with tandem(place, "up", port=free_port()) as (process, client):
        user_id = await client.create_user()
        watch = {"query": f'subscription {{ userChanged(id: "{user_id}") {{ version }} }}'}
        headers = {"accept": "text/event-stream"}
        async with client.http.stream("POST", "/graphql", json=watch, headers=headers) as stream:
            events = stream.aiter_lines()
            assert await anext(events) == "event: next"
            process.send_signal(signal.SIGTERM)
            assert [line async for line in events][-1:] == [""]
        assert await ended(process, 5) == 0


async def _ready(http: httpx.AsyncClient) -> None:
    async with limited(20):
        while True:
            with suppress(httpx.TransportError):
                if (await http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)


async def _migrated(urls: dict[str, str]) -> None:
    assert (await tandem_with(urls, "migrate")).status == 0
