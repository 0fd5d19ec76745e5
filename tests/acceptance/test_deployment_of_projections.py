"""A deployment with changed projections next to a running service, and its rollback."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import httpx
import pytest

from readside.generations.activation_guard import ParkedExcess
from tests.acceptance.cli import environment, other_tandem, tandem
from tests.acceptance.service import Client, running
from tests.acceptance.test_health import figures
from tests.limited import limited
from tests.processes import HOST, ROOT, TANDEM, free_port
from tests.processes import running as process_running
from tests.stores import PARTITIONS, fast_temp

if TYPE_CHECKING:
    from api.settings import Settings

READ = "query($id: ID!, $v: Int) { user(id: $id, minVersion: $v) { name version } }"
RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }"
SERVED = {f"tandem_read_model_served {partition}" for partition in range(PARTITIONS)}


@contextmanager
def changed(file: str, *replacements: tuple[str, str]) -> Iterator[dict[str, str]]:
    """The environment of a process that runs this code with texts of one file replaced."""
    with TemporaryDirectory(prefix="tandem-newer-", dir=fast_temp()) as place:
        for package in ("api", "domain", "readside"):
            ignored = shutil.ignore_patterns("node_modules")
            shutil.copytree(ROOT / package, Path(place) / package, ignore=ignored)
        text = Path(place, file).read_text()
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        Path(place, file).write_text(text)
        yield {"PYTHONPATH": place}


@pytest.fixture
def newer() -> Iterator[dict[str, str]]:
    """What makes a process run newer code: ours, but that a user's name is kept under another one."""
    imported = (
        "from domain.users import events\n",
        "import msgspec\n\nfrom domain.users import events\n",
    )
    field = "    name: str\n", '    name: str = msgspec.field(name="fullName")\n'
    with changed("readside/projections/users.py", imported, field) as env:
        yield env


@pytest.fixture
def broken() -> Iterator[dict[str, str]]:
    """The same, but that an event has a new field, for which an upcast was forgotten."""
    with changed(
        "domain/users/events.py",
        (
            "    name: Personal[str]\n    email: Personal[str]",
            "    name: Personal[str]\n    surname: Personal[str]",
        ),
    ) as env:
        yield env


@asynccontextmanager
async def role(
    name: str, settings: Settings, newer: dict[str, str], log: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """A process of the newer code, and a client of its health port (the API's own, if it has one)."""
    port = str(free_port())
    ports = {"PORT": port} if name == "api" else {"HEALTH_PORT": port}
    env = environment(settings, **newer, **ports)
    async with (
        process_running(TANDEM, name, env=env, log=log),
        httpx.AsyncClient(base_url=f"http://{HOST}:{port}") as http,
    ):
        yield http


async def serving(http: httpx.AsyncClient) -> None:
    """Waits until each partition is served, by the code of this process."""
    async with limited(30):
        while True:
            with suppress(httpx.TransportError):
                told = figures((await http.get("/metrics")).text)
                if all(told.get(name) == 1 for name in SERVED):
                    return
            await asyncio.sleep(0.05)


async def renamed(client: Client, user_id: str, name: str) -> None:
    """Writes, and reads what was written."""
    done = await client.data(RENAME, input={"userId": user_id, "name": name})
    version = done["renameUser"]["version"]
    read = await client.data(READ, id=user_id, v=version)
    assert read == {"user": {"name": name, "version": version}}


async def test_it_builds_its_own_read_model_and_a_roll_back_finds_the_old_one_that_served_all_the_time(
    settings: Settings, newer: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with running(settings) as old:
        user_id = await old.create_user()
        before = await other_tandem(settings, "status", **newer)
        assert (before.status, "8 partitions are not served" in before.out) == (1, True)
        async with role("projector", settings, newer, log) as http:
            await serving(http)
            assert (await other_tandem(settings, "verify", **newer)).status == 0
            async with role("api", settings, newer, log) as http:
                await serving(http)
                await renamed(Client(http), user_id, "Alicia")
                await renamed(old, user_id, "Al")
        await renamed(old, user_id, "Alice")
        assert (await tandem(settings, "verify")).status == 0


async def test_a_deploy_that_parks_many_users_stops_and_says_why(
    settings: Settings, broken: dict[str, str], tmp_path: Path
) -> None:
    what = ParkedExcess(more=12, aggregates=12).sentence
    async with running(settings) as old:
        users = [await old.create_user(email=f"{n}@example.com") for n in range(12)]
        async with role("projector", settings, broken, tmp_path / "log") as http:
            async with asyncio.timeout(30):
                while what not in (await ready(http)).text:
                    await asyncio.sleep(0.05)
            assert (await ready(http)).status_code == 503
            told = await other_tandem(settings, "status", **broken)
            assert (told.status, what in " ".join(told.out.split())) == (1, True)
            told = await other_tandem(settings, "doctor", **broken)
            assert (told.status, what in " ".join(told.out.split())) == (1, True)
            await renamed(old, users[0], "Alicia")
            assert (
                await other_tandem(settings, "rebuild", "--accept-parked", **broken)
            ).status == 0
            await serving(http)
            assert (await ready(http)).status_code == 200


async def ready(http: httpx.AsyncClient) -> httpx.Response:
    """What it says of itself; 503 if it has not started yet."""
    try:
        return await http.get("/readyz")
    except httpx.TransportError:
        return httpx.Response(503, text="")
