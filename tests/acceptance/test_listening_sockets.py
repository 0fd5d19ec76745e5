"""The service on a Unix socket, and on one that systemd or another parent process has passed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests import forked
from tests.acceptance.test_processes import refused
from tests.acceptance.test_workers import get, until, workers_of
from tests.limited import limited
from tests.processes import TANDEM, ended, free_ports, running
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.forked import Member

QUERY = {"query": "{ __typename }"}


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tandem-") as place:  # short: a path has 107 bytes
        yield Path(place) / "api.sock"


@pytest.fixture
def urls(database_url: str, redis_url: str, path: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PARTITIONS": str(PARTITIONS),
        "HOST": f"unix:{path}",
    }


@pytest.fixture
async def http(path: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(path), verify=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http


async def answered(http: httpx.AsyncClient) -> None:
    """Returns once a query has a response."""
    async with limited(30):
        while True:
            try:
                response = await http.post("/graphql", json=QUERY)
            except httpx.TransportError:
                await asyncio.sleep(0.02)
            else:
                assert response.json() == {"data": {"__typename": "Query"}}
                return


async def stopped(process: Member, path: Path) -> None:
    process.send_signal(signal.SIGTERM)
    assert await ended(process, 20) == 0
    assert not path.exists()


async def test_the_file_is_replaced_after_a_kill_and_removed_at_the_end(
    urls: dict[str, str], path: Path, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    async with forked.running("api", env=urls, log=tmp_path / "first") as process:
        await answered(http)
        assert (await http.get("/metrics")).status_code == 200  # a client of this machine
        said = await refused("api", **urls)
        assert f"HOST=unix:{path} cannot be used (Address already in use)" in said
        process.kill()
        await process.wait()
    assert path.is_socket()
    async with forked.running("api", env=urls, log=tmp_path / "second") as process:
        await answered(http)
        await stopped(process, path)


async def test_all_workers_serve_the_socket_and_one_that_is_killed_is_replaced(
    urls: dict[str, str], path: Path, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    words = ("api", "--workers", "2")
    first = free_ports(2)
    urls["HEALTH_PORT"] = str(first)
    async with forked.running(*words, env=urls, log=tmp_path / "log") as process:
        await answered(http)
        # Both serve: one that is killed before it does ends the other too.
        assert [await get(port) for port in (first, first + 1)] == [200, 200]
        before = workers_of(process)
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        await until(lambda: not set(before) & set(workers_of(process)))
        await until(lambda: len(workers_of(process)) == 2)
        await http.aclose()  # its connection was to a worker that is gone
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as other:
            await answered(other)
        await stopped(process, path)


async def test_no_connection_is_refused_while_processes_take_turns_on_an_inherited_socket(
    urls: dict[str, str], path: Path, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1000)
        urls["HOST"] = f"fd:{listener.fileno()}"
        outcomes: Counter[object] = Counter()
        enough = asyncio.Event()

        async def ask() -> None:
            while not enough.is_set():
                transport = httpx.AsyncHTTPTransport(uds=str(path))
                async with httpx.AsyncClient(transport=transport, timeout=60) as http:
                    try:
                        response = await http.post("http://localhost/graphql", json=QUERY)
                    except httpx.TransportError as error:
                        outcomes[repr(error)] += 1
                    else:
                        outcomes[response.status_code] += 1

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        for turn in range(3):
            log, before = tmp_path / str(turn), outcomes[200]
            fds = [listener.fileno()]
            async with running(TANDEM, "api", env=urls, log=log, pass_fds=fds) as process:
                async with limited(30):
                    while outcomes[200] < before + 20:
                        await asyncio.sleep(0.01)
                if turn == 2:
                    enough.set()
                    await asyncio.gather(*asking)
                process.send_signal(signal.SIGTERM)
                assert await ended(process, 20) == 0
            assert path.is_socket()  # it belongs to the parent process
        assert outcomes.keys() == {200}, outcomes


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="systemd is not installed"
)
async def test_systemd_passes_the_socket(
    urls: dict[str, str], path: Path, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    urls["HOST"] = "fd:3"
    passed = [word for name in (*urls, "PATH", "HOME") for word in ("-E", name)]
    command = ("systemd-socket-activate", "-l", str(path), *passed, TANDEM, "api")
    async with running(*command, env=urls, log=tmp_path / "log") as process:
        await until(path.is_socket)
        await answered(http)
        process.send_signal(signal.SIGTERM)
        assert await ended(process, 20) == 0


async def test_a_descriptor_that_is_not_passed_is_one_sentence(urls: dict[str, str]) -> None:
    urls["HOST"] = "fd:77"
    assert "HOST=fd:77 cannot be used (Bad file descriptor)" in await refused("api", **urls)
