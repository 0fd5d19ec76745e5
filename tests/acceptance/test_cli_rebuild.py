"""tandem rebuild: on a service that is in use, interrupted, rolled back, abandoned."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests import forked
from tests.acceptance.cli import environment, tandem
from tests.acceptance.service import running
from tests.limited import limited
from tests.processes import HOST, ended, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from api.settings import Settings
    from tests.acceptance.service import Client

READ = "query($id: ID!, $v: Int) { user(id: $id, minVersion: $v) { name } }"
RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }"
COUNTING = """
    select count(*) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'
    and query like 'select count(*) from events%'
"""


async def renamed(client: Client, user_id: str, name: str) -> str | None:
    """Renames a user, and returns the name that a read of that version returns."""
    done = await client.data(RENAME, input={"userId": user_id, "name": name})
    version = done["renameUser"]["version"]
    return (await client.data(READ, id=user_id, v=version))["user"]["name"]  # type: ignore[no-any-return]


async def test_a_rebuild_of_a_running_service_switches_every_partition_and_can_be_rolled_back(
    settings: Settings,
) -> None:
    async with running(settings) as client:
        user_id = await client.create_user()
        output = await tandem(settings, "rebuild", "--json")
        assert output.status == 0, output.err
        rows = output.json["partitions"]
        assert [row["partition"] for row in rows] == list(range(settings.partitions))
        assert sum(row["events"] for row in rows) == 1
        assert all(row["before"] != row["after"] for row in rows)
        assert await renamed(client, user_id, "Alicia") == "Alicia"
        back = (await tandem(settings, "rebuild", "--rollback", "--json")).json["partitions"]
        assert [row["after"] for row in back] == [row["before"] for row in rows]
        assert await renamed(client, user_id, "Al") == "Al"


async def test_a_dry_run_counts_the_events_to_read_and_changes_nothing(settings: Settings) -> None:
    async with running(settings) as client:
        await client.create_user()
        output = await tandem(settings, "rebuild", "--dry-run", "--json", "--partition", "1")
        assert output.json == {
            "partitions": [{"partition": 1, "events": output.json["partitions"][0]["events"]}]
        }
        whole = await tandem(settings, "rebuild", "--dry-run", "--json")
        assert sum(row["events"] for row in whole.json["partitions"]) == 1
        nothing = await tandem(settings, "rebuild", "--return")
        assert nothing.status == 1
        assert "No earlier read model of partition 0 is kept" in nothing.err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_an_interrupted_rebuild_can_be_abandoned_or_run_again(
    settings: Settings, tmp_path: Path, how: signal.Signals
) -> None:
    async with running(settings) as client:
        user_id = await client.create_user()
        lock = await asyncpg.connect(settings.database_url)
        try:
            log = tmp_path / "log"
            async with forked.running("rebuild", env=environment(settings), log=log) as process:
                await _until_it_waits_for_the_log(lock)
                process.send_signal(how)
                assert await ended(process, 20) in {130, -9}
        finally:
            await lock.close()
        if how == signal.SIGINT:
            assert "`tandem rebuild` resumes" in log.read_text()
        assert (await tandem(settings, "rebuild", "--abandon", "--json")).status == 0
        done = await tandem(settings, "rebuild")
        assert (done.status, "Rebuilt 8 partitions from 1 events" in done.out) == (0, True)
        assert await renamed(client, user_id, "Alicia") == "Alicia"


async def _until_it_waits_for_the_log(lock: asyncpg.Connection) -> None:
    await lock.execute("begin; lock table events in access exclusive mode")
    async with limited(20):
        while not await lock.fetchval(COUNTING):
            await lock.execute(
                "select pg_stat_clear_snapshot()"
            )  # without this a transaction sees only its first statistics
            await asyncio.sleep(0.02)


async def test_a_rebuild_that_is_refused_is_one_line(settings: Settings) -> None:
    nowhere = f"postgresql://user@{HOST}:{free_port()}/none"
    silent = f"redis://{HOST}:{free_port()}"
    for output, what in (
        (await tandem(settings, "rebuild", "--partition", "8"), "numbered 0 to 7"),
        (await tandem(settings, "rebuild", "--return", "--abandon"), "Choose one"),
        (await tandem(settings, "rebuild"), "tandem relay"),
        (await tandem(settings, "rebuild", DATABASE_URL=nowhere), "DATABASE_URL"),
        (await tandem(settings, "rebuild", REDIS_URL=silent), "REDIS_URL"),
    ):
        assert output.status == 1
        assert output.out == ""
        assert len(output.err.splitlines()) == 1
        assert what in output.err
