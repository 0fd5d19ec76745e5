"""tandem status: what flows, what does not, and an exit status for scripts."""

from __future__ import annotations

import asyncio
import json
import signal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from api.cli.status import OK, PROBLEM, UNREACHABLE
from api.roles import Role
from tests import forked
from tests.acceptance.cli import Output, environment, tandem, tandem_with
from tests.acceptance.service import running
from tests.chaos.proxy import proxy
from tests.limited import limited
from tests.processes import HOST, ended, free_port
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from pathlib import Path

    from api.settings import Settings

API = frozenset({Role.API})
CREATE = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'


async def until(settings: Settings, status: int) -> Output:
    async with limited(30):
        while (output := await tandem(settings, "status", "--json")).status != status:
            pass
    return output


def sentences(output: Output) -> str:
    return " ".join(problem["sentence"] for problem in output.json["problems"])


async def test_a_pipeline_without_problems_is_reported_first_and_exits_with_0(
    settings: Settings,
) -> None:
    async with running(settings) as client:
        await client.create_user()
        output = await until(settings, OK)
        drawn = await tandem(settings, "status", COLUMNS="200")
    partitions: list[dict[str, Any]] = output.json["look"]["partitions"]
    assert [one["number"] for one in partitions] == list(range(PARTITIONS))
    assert sum(one["standing"]["applied"] for one in partitions) == 1
    assert (output.json["status"], output.json["problems"]) == (OK, [])
    assert drawn.status == OK
    assert drawn.out.startswith(f"All is well: {PARTITIONS} partitions are served")
    assert f"Not listed: {PARTITIONS - 1} partitions" in drawn.out


@pytest.mark.parametrize("columns", [80, 120])
async def test_the_table_fits_80_columns_with_complete_heads_and_figures(
    settings: Settings, columns: int
) -> None:
    async with running(settings) as client:
        await client.create_user()
        output = await until(settings, OK)
        drawn = await tandem(settings, "status", "--all", COLUMNS=str(columns))
    assert max(map(len, drawn.out.splitlines())) <= columns
    heads = drawn.out.splitlines()[2:4]
    for word in ("publish", "apply", "waits", "applied", "parked", "active", "other", "owner"):
        assert word in " ".join(heads)
    for one in output.json["look"]["partitions"]:
        [row] = [
            line for line in drawn.out.splitlines() if line.split()[:1] == [str(one["number"])]
        ]
        assert f"…{one['standing']['generation'][-5:]}" in row
        assert f"…{one['standing']['owner'][-5:]}" in row


async def test_an_event_without_a_relay_is_a_problem_after_a_while_and_the_sentence_says_what_to_do(
    settings: Settings,
) -> None:
    async with running(settings):
        pass
    async with running(settings, API) as client:
        await client.data(CREATE)
        output = await until(settings, PROBLEM)
        drawn = await tandem(settings, "status", COLUMNS="200")
    assert "for a relay: see that one runs" in sentences(output)
    assert sum(one["backlog"]["unpublished"] for one in output.json["look"]["partitions"]) == 1
    assert drawn.status == PROBLEM
    assert "see that one runs" in drawn.out


async def test_a_read_model_that_was_never_built_is_a_problem(settings: Settings) -> None:
    output = await tandem(settings, "status", "--json")
    assert output.status == PROBLEM
    assert "see that a relay and a projector run" in sentences(output)


@pytest.mark.parametrize(
    ("store", "named"), [("database_url", "PostgreSQL"), ("redis_url", "Redis")]
)
async def test_a_store_that_does_not_reply_is_named_in_time_and_the_other_is_shown(
    settings: Settings, store: str, named: str
) -> None:
    async with running(settings):
        pass
    async with proxy(str(getattr(settings, store))) as wire:
        wire.blackhole("both")
        async with limited(30):  # most of it is the start of a process on a busy machine
            output = await tandem(settings.model_copy(update={store: wire.url}), "status", "--json")
        wire.flow(drop=True)
    assert output.status == PROBLEM
    assert f"{named} does not answer" in sentences(output)
    assert f"see that it runs and that {store.upper()} leads to it" in sentences(output)
    [one, *_] = output.json["look"]["partitions"]
    assert (one["backlog"] is None, one["standing"] is None) == (
        named == "PostgreSQL",
        named == "Redis",
    )


async def test_it_exits_with_2_if_the_stores_cannot_be_used(
    settings: Settings, empty_database_url: str
) -> None:
    nowhere = {
        "database_url": f"postgresql://user@{HOST}:{free_port()}/none",
        "redis_url": f"redis://{HOST}:{free_port()}/0",
    }
    assert (await tandem(settings.model_copy(update=nowhere), "status")).status == UNREACHABLE
    unset = await tandem(settings, "status", DATABASE_URL="", REDIS_URL="")
    assert (unset.status, len(unset.err.splitlines())) == (UNREACHABLE, 1)
    other = await tandem(settings, "status", PARTITIONS="3")
    assert (other.status, f"PARTITIONS={PARTITIONS}" in other.err) == (UNREACHABLE, True)
    empty = settings.model_copy(update={"database_url": empty_database_url})
    assert "tandem migrate" in (await tandem(empty, "status")).err


async def test_watch_prints_a_line_each_second_until_ctrl_c(
    settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "watched"
    async with (
        running(settings),
        forked.running(
            "status", "--watch", "--json", env=environment(settings), log=log
        ) as watching,
    ):
        for lines in range(3):
            async with limited(3 if lines else 20):
                while len(log.read_text().splitlines()) <= lines:
                    await asyncio.sleep(0.05)
        watching.send_signal(signal.SIGINT)
        assert await ended(watching, 10) == OK
    looks = [json.loads(line)["look"]["at"] for line in log.read_text().splitlines()]
    assert all(after - before > 0.9 for before, after in pairwise(looks))


async def test_the_help_has_an_example_and_the_exit_statuses(settings: Settings) -> None:
    output = await tandem(settings, "status", "--help")
    assert "Example: tandem status --watch" in output.out
    assert "Exit status" in output.out


async def test_without_urls_it_names_the_directory_without_a_running_service(
    settings: Settings, tmp_path: Path
) -> None:
    environ = environment(settings, DATA_DIR=str(tmp_path))
    del environ["DATABASE_URL"], environ["REDIS_URL"]
    output = await tandem_with(environ, "status")
    assert (output.status, len(output.err.splitlines())) == (UNREACHABLE, 1)
    assert f"No `tandem up` runs in {tmp_path}" in output.err
    assert "DATABASE_URL and REDIS_URL" in output.err
