"""`tandem api --workers N`: one port, several worker processes, and their replacement."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from redis.asyncio import Redis

from tests import forked
from tests.acceptance.test_processes import refused
from tests.limited import limited
from tests.processes import HOST, ended, free_ports
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.forked import Member

WORKERS = 3
ESTABLISHED, LISTENING = "01", "0A"
CREATE = "mutation($input: CreateUserInput!) { createUser(input: $input) { id version } }"


@pytest.fixture
def urls(database_url: str, redis_url: str) -> dict[str, str]:
    first = free_ports(1 + WORKERS)  # chosen apart, one could be the other
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PARTITIONS": str(PARTITIONS),
        "HOST": HOST,
        "PORT": str(first),
        "HEALTH_PORT": str(first + 1),
    }


@asynccontextmanager
async def crew(urls: dict[str, str], place: Path) -> AsyncIterator[Member]:
    """The parent, once all of its workers listen."""
    words = ("api", "--workers", str(WORKERS))
    async with forked.running(*words, env=urls, log=place / "log") as process:
        await until(lambda: listeners(int(urls["PORT"])) == WORKERS, within=30)
        await until(lambda: all(map(listeners, health_ports(urls))))
        yield process


async def until(what: Callable[[], bool], within: float = 5.0) -> None:
    async with limited(within):
        while not what():
            await asyncio.sleep(0.02)


def workers_of(process: Member) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def sockets(port: int, state: str) -> set[str]:
    """The inodes of the sockets on our side of the port that are in this state."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {line[9] for line in lines if line[1].endswith(f":{port:04X}") and line[3] == state}


def listeners(port: int) -> int:
    """How many sockets listen on the port."""
    return len(sockets(port, LISTENING))


def connections(pid: int, port: int) -> int:
    """How many connections to the port a process has accepted."""
    return len(held(pid) & sockets(port, ESTABLISHED))


def held(pid: int) -> set[str]:
    """The inodes of a process' sockets."""
    ours = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed while we looked
            ours.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    return ours


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False


async def get(port: int, path: str = "livez") -> int:
    """The status of a request on a connection of its own."""
    async with httpx.AsyncClient() as http:
        return (await http.get(f"http://{HOST}:{port}/{path}")).status_code


def health_ports(urls: dict[str, str]) -> list[int]:
    first = int(urls["HEALTH_PORT"])
    return list(range(first, first + WORKERS))


def of_health(process: Member, urls: dict[str, str]) -> list[int]:
    """Which worker has the health port of each number; it must be one worker alone."""
    listening = [sockets(port, LISTENING) for port in health_ports(urls)]
    workers = {pid: held(pid) for pid in workers_of(process)}
    found = [[pid for pid, holds in workers.items() if holds & one] for one in listening]
    assert [len(pids) for pids in found] == [1] * WORKERS
    return [pid for [pid] in found]


async def test_connections_are_spread_over_all_workers(
    urls: dict[str, str], tmp_path: Path
) -> None:
    async with crew(urls, tmp_path) as process, AsyncExitStack() as stack:
        workers, port = workers_of(process), int(urls["PORT"])
        for _ in range(90):
            _, writer = await asyncio.open_connection(HOST, port)
            stack.callback(writer.close)
        await until(lambda: sum(connections(pid, port) for pid in workers) == 90)
        assert len(workers) == WORKERS
        assert all(connections(pid, port) >= 10 for pid in workers)


async def test_a_worker_that_is_killed_is_replaced_and_no_other_notices(
    urls: dict[str, str], tmp_path: Path
) -> None:
    async with crew(urls, tmp_path) as process:
        first = workers_of(process)
        os.kill(first[0], signal.SIGKILL)
        # Also those that come to the port of the dead one: they wait for its successor.
        assert set(await asyncio.gather(*[get(int(urls["PORT"])) for _ in range(60)])) == {200}
        await until(lambda: len(set(workers_of(process)) - set(first)) == 1)
        assert set(first[1:]) < set(workers_of(process))


async def test_each_worker_has_its_own_health_port(urls: dict[str, str], tmp_path: Path) -> None:
    async with crew(urls, tmp_path) as process, httpx.AsyncClient() as http:
        assert sorted(of_health(process, urls)) == sorted(workers_of(process))
        for port in health_ports(urls):
            assert await get(port, "readyz") in {200, 503}
            told = (await http.get(f"http://{HOST}:{port}/metrics")).text
            assert "tandem_operations_total" in told
            assert await get(port, "graphql") == 404


async def test_the_successor_of_a_worker_has_its_health_port(
    urls: dict[str, str], tmp_path: Path
) -> None:
    async with crew(urls, tmp_path) as process:
        before = of_health(process, urls)
        os.kill(before[1], signal.SIGKILL)
        assert await get(health_ports(urls)[1]) == 200  # it waits for the successor
        after = of_health(process, urls)
        assert (after[0], after[2]) == (before[0], before[2])
        assert after[1] != before[1]


async def test_a_health_port_of_a_worker_that_is_taken_is_named(urls: dict[str, str]) -> None:
    last = health_ports(urls)[-1]
    with socket.create_server((HOST, last)):
        said = await refused("api", "--workers", str(WORKERS), **urls)
    assert f"Port {last} on {HOST} cannot be used" in said
    assert f"HEALTH_PORT={last + 1}" in said


@pytest.mark.parametrize(
    ("first", "port", "of_what"), [(7999, 8000, "PORT"), (65_534, 8000, "65535")]
)
async def test_health_ports_must_leave_room_for_all_workers(
    urls: dict[str, str], first: int, port: int, of_what: str
) -> None:
    ports = {"HEALTH_PORT": str(first), "PORT": str(port)}
    said = await refused("api", "--workers", str(WORKERS), **(urls | ports))
    assert f"HEALTH_PORT={first}" in said
    assert of_what in said


async def test_after_kill_9_of_the_parent_no_worker_is_left(
    urls: dict[str, str], tmp_path: Path
) -> None:
    async with crew(urls, tmp_path) as process:
        workers = workers_of(process)
        process.kill()
        await process.wait()
        await until(lambda: not any(map(alive, workers)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_whatever_was_let_in_is_answered_before_all_end(
    urls: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    async def create(http: httpx.AsyncClient, who: int) -> int:
        given = {"name": "Alice", "email": f"{who}@example.com"}
        body = {"query": CREATE, "variables": {"input": given}}
        answer = await http.post(f"http://{HOST}:{urls['PORT']}/graphql", json=body)
        assert "errors" not in answer.json()
        return answer.status_code

    async with crew(urls, tmp_path) as process, httpx.AsyncClient(timeout=30) as http:
        asked = [asyncio.create_task(create(http, who)) for who in range(100)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        os.killpg(process.pid, number)
        await asyncio.wait(asked)
        outcomes = [task.exception() or task.result() for task in asked]
        assert {one for one in outcomes if not isinstance(one, httpx.ConnectError)} == {200}
        assert await ended(process, 20) == 0


async def test_a_worker_that_exits_with_a_reason_ends_all_with_that_sentence(
    urls: dict[str, str],
) -> None:
    async with Redis.from_url(urls["REDIS_URL"]) as redis:
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            said = await refused("api", "--workers", "3", **urls)
        finally:
            await redis.config_set("maxmemory-policy", "noeviction")
    assert "set maxmemory-policy to noeviction" in said


async def test_a_port_that_other_workers_serve_is_taken(
    urls: dict[str, str], tmp_path: Path
) -> None:
    async with crew(urls, tmp_path):
        assert f"Port {urls['PORT']}" in await refused("api", "--workers", "2", **urls)
