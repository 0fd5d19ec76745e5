"""Tandem behind a real pgbouncer, as docs/operations.md describes it, and the advice of tandem doctor."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGTERM
from typing import TYPE_CHECKING

import asyncpg
import pytest

from api.embedded.child_process import child_command
from api.embedded.data_directory import opened_directory
from api.embedded.ownership import change_owner
from api.embedded.run_as import choose_identity
from tests import processes
from tests.acceptance.cli import tandem
from tests.acceptance.service import running
from tests.acceptance.test_cli_doctor import levels, says
from tests.limited import limited
from tests.processes import ROOT
from tests.stores import fast_temp

if TYPE_CHECKING:
    from api.settings import Settings

MISSING = "There is no pgbouncer on the PATH, so Tandem was not tried behind it."
PORT = 6432
USER = "query($id: ID!) { user(id: $id, minVersion: 1) { name } }"
[IGNORED] = re.findall(
    r"`ignore_startup_parameters = ([a-z_,]+)`", (ROOT / "docs/operations.md").read_text()
)


@pytest.fixture
def pgbouncer() -> str:
    """A developer may do without; CI installs it, in .ci/setup/programs.sh."""
    if found := shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin"):
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(MISSING, pytrace=False)
    pytest.skip(MISSING)


@pytest.fixture
def place() -> Iterator[Path]:
    """Not pytest's: its path is too long for a socket."""
    with tempfile.TemporaryDirectory(prefix="tandem-pooler-", dir=fast_temp()) as place:
        yield Path(place)


@asynccontextmanager
async def pooled(
    pgbouncer: str, place: Path, settings: Settings, *, mode: str, ignored: str = IGNORED
) -> AsyncIterator[Settings]:
    """The same settings, through a pooler. It refuses root as PostgreSQL does, so it is run as that is."""
    direct = settings.database_url or ""
    stores = direct.rpartition("host=")[2]
    path = place / "pgbouncer.ini"
    path.write_text(
        f"[databases]\n* = host={stores} user=tandem\n"
        f"[pgbouncer]\nunix_socket_dir = {place}\nlisten_port = {PORT}\nauth_type = any\n"
        f"pool_mode = {mode}\nignore_startup_parameters = {ignored}\n"
    )
    identity = await choose_identity(place.stat().st_uid)
    with opened_directory(place) as directory:
        change_owner(directory, identity.owner)
    command = child_command(
        pgbouncer, str(path), death_signal=SIGTERM, identity=identity.argument, directory=place
    )
    log = place / "log"
    async with processes.running(*command, log=log) as process:
        async with limited(10):
            while not (place / f".s.PGSQL.{PORT}").exists():
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.02)
        url = direct.replace(stores, f"{place}&port={PORT}")
        yield settings.model_copy(update={"database_url": url})


async def test_one_that_pools_sessions_carries_everything(
    pgbouncer: str, place: Path, settings: Settings
) -> None:
    async with pooled(pgbouncer, place, settings, mode="session") as through:
        async with running(through) as client:
            user_id = await client.create_user()
            assert await client.data(USER, id=user_id) == {"user": {"name": "Alice"}}
        assert (await tandem(through, "migrate")).status == 0
        told = await tandem(through, "doctor", "--json")
    assert told.status == 0
    assert levels(told)["pooler"] == "ok"
    assert "statement_timeout" in says(told, "session")


async def test_settings_of_the_role_take_effect_through_pgbouncer(
    pgbouncer: str, place: Path, settings: Settings
) -> None:
    connection = await asyncpg.connect(settings.database_url)
    try:
        for what, value in (
            ("statement_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "60s"),
        ):
            await connection.execute(f"alter role tandem set {what} = '{value}'")
        async with pooled(pgbouncer, place, settings, mode="session") as through:
            assert levels(await tandem(through, "doctor", "--json"))["session"] == "ok"
    finally:
        await connection.execute("alter role tandem reset all")
        await connection.close()


async def test_pooling_by_transaction_is_detected_with_what_to_set(
    pgbouncer: str, place: Path, settings: Settings
) -> None:
    async with pooled(pgbouncer, place, settings, mode="transaction") as through:
        told = [await tandem(through, "doctor", "--json") for _ in range(2)]
        refused = await tandem(through, "migrate")
        shown = await tandem(through, "status")
    for said in told:
        assert said.status == 1
        assert "pool_mode = session" in says(said, "pooler")
    assert (refused.status, len(refused.err.splitlines())) == (1, 1)
    assert "pool_mode = session" in refused.err
    assert "Traceback" not in shown.err


async def test_a_refused_startup_parameter_is_reported_with_what_to_ignore(
    pgbouncer: str, place: Path, settings: Settings
) -> None:
    async with pooled(pgbouncer, place, settings, mode="session", ignored="") as through:
        told = await tandem(through, "doctor", "--json")
    assert told.status == 1
    assert f"ignore_startup_parameters = {IGNORED}" in says(told, "pooler")
