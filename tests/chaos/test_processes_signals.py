"""Signals that come twice, to everybody at once or to the wrong process: nobody is left, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from api.embedded.postgres import database_url
from tests.acceptance.service import Client
from tests.acceptance.test_processes import answering, servers_of, settings_of, tandem
from tests.limited import limited
from tests.processes import HOST, ended, free_port, running
from tests.stores import fast_temp

if TYPE_CHECKING:
    from asyncio.subprocess import Process

RENAME = 'mutation($id: ID!) { renameUser(input: {userId: $id, name: "Zoë"}) { version } }'
USER = "query($id: ID!, $v: Int) { user(id: $id, minVersion: $v) { name } }"
UP_TO_DATE = ("-o", ".venv/.up")
"""The environment that the tests run in will do."""


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tandem-signal-", dir=fast_temp()) as place:
        yield Path(place)


@asynccontextmanager
async def make_up(place: Path) -> AsyncIterator[tuple[Process, Client]]:
    """`make up`, and a client of it once it answers."""
    port, log = free_port(), place / "make.log"
    program = running("make", *UP_TO_DATE, "up", env=settings_of(place, port), log=log)
    async with answering(program, port, log) as (make, client):
        try:
            yield make, client
        finally:
            if make.returncode is not None:
                with suppress(ProcessLookupError):
                    os.killpg(make.pid, signal.SIGTERM)  # whom it should not have left behind


async def all_gone(place: Path, group: int) -> None:
    """Returns once no store is left, and nobody of the group that make began."""
    async with limited(20):
        while servers_of(place) or _alive(group):
            await asyncio.sleep(0.02)


def _alive(group: int) -> bool:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, fields = stat.read_text().rpartition(") ")
        except OSError:
            continue  # it ended while we looked
        state, _, of_group = fields.split()[:3]
        if int(of_group) == group and state != "Z":
            return True
    return False


async def still_there(place: Path, made: list[str]) -> None:
    async with make_up(place) as (_, client):
        answer = await client.data("{ users(first: 100) { nodes { id } } }")
        assert {node["id"] for node in answer["users"]["nodes"]} == set(made)


async def test_sigterm_twice_lets_a_command_under_way_come_to_its_end(place: Path) -> None:
    port = free_port()
    async with tandem(place, "up", port=port) as (process, client):
        user_id = await client.create_user()
        holder = await asyncpg.connect(database_url(place / "data" / "run"))
        await holder.execute("begin; select from users for update")
        rename = asyncio.create_task(client.data(RENAME, id=user_id))
        await _blocked(holder)
        process.send_signal(signal.SIGTERM)
        await _refuses(port)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            process.send_signal(number)
        await holder.close()
        assert await rename == {"renameUser": {"version": 2}}
        assert await ended(process, 20) == 0
    assert servers_of(place) == []
    async with tandem(place, "up", port=port) as (_, client):
        assert await client.data(USER, id=user_id, v=2) == {"user": {"name": "Zoë"}}


async def _blocked(holder: asyncpg.Connection) -> None:
    query = "select count(*) from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0"
    async with limited(20):
        while not await holder.fetchval(query):
            await asyncio.sleep(0.01)


async def _refuses(port: int) -> None:
    """Returns once nobody listens there any more: the end is under way."""
    async with limited(20):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except ConnectionError:
                return
            writer.close()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("times", [1, 3])
async def test_ctrl_c_to_the_group_of_make_up_stops_all_of_it(place: Path, times: int) -> None:
    async with make_up(place) as (make, client):
        made = [await client.create_user(f"User {n}", f"user{n}@example.com") for n in range(5)]
        for _ in range(times):
            os.killpg(make.pid, signal.SIGINT)
        assert await ended(make, 20) != 0
        await all_gone(place, make.pid)
    assert "Tandem has stopped." in (place / "make.log").read_text()
    await still_there(place, made)


@pytest.mark.parametrize("whom", ["make", "all of its group"])
async def test_after_kill_9_of_make_up_nobody_is_left_and_the_next_start_has_everything(
    place: Path, whom: str
) -> None:
    async with make_up(place) as (make, client):
        made = [await client.create_user(f"User {n}", f"user{n}@example.com") for n in range(20)]
        if whom == "make":
            make.kill()
        else:
            os.killpg(make.pid, signal.SIGKILL)
        await make.wait()
        await all_gone(place, make.pid)
    await still_there(place, made)
