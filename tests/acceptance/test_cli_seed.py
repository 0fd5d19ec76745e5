"""tandem seed: creates the same users for the same seed through real commands, none of them twice."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import asyncpg

from api.cli.run import INTERRUPTED
from api.cli.seed_data import person
from tests import forked
from tests.acceptance.cli import environment, tandem
from tests.acceptance.service import running
from tests.limited import limited
from tests.processes import HOST, ended, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from api.settings import Settings

COUNTS = "select (select count(*) from users), (select count(*) from orders), (select count(*) from events)"


def test_a_person_is_the_same_for_the_same_seed_and_number_alone() -> None:
    assert person(1, 7) == person(1, 7)
    assert person(1, 7).email != person(2, 7).email != person(2, 8).email
    assert all(person(1, number).email.endswith("@example.com") for number in range(100))
    outcomes = {order.outcome for number in range(100) for order in person(1, number).orders}
    assert outcomes == {"open", "completed", "cancelled"}


async def test_the_same_seed_creates_no_user_twice_and_a_larger_number_adds_users(
    settings: Settings,
) -> None:
    async with running(settings) as client:
        log = await asyncpg.connect(settings.database_url)
        try:
            first = (await tandem(settings, "seed", "20", "--json")).json
            assert (first["users"], first["refused"]) == (20, 0)
            counted = await log.fetchrow(COUNTS)
            assert counted is not None
            assert tuple(counted)[:2] == (20, first["orders"])
            assert (await tandem(settings, "seed", "20", "--json")).json == first
            assert await log.fetchrow(COUNTS) == counted
            more = await tandem(settings, "seed", "25")
            assert more.out.startswith("25 users")
            assert await log.fetchval("select count(*) from users") == 25
        finally:
            await log.close()
        assert (await tandem(settings, "verify")).status == 0
        users = (await client.data("{ users(first: 3) { totalCount } }"))["users"]
        assert users["totalCount"] == 25


async def test_without_a_database_it_fails_with_one_line(settings: Settings) -> None:
    nowhere = f"postgresql://user@{HOST}:{free_port()}/none"
    output = await tandem(settings, "seed", "3", DATABASE_URL=nowhere)
    assert output.status == 1
    assert len(output.err.splitlines()) == 1
    assert "DATABASE_URL" in output.err


async def test_an_interrupted_seed_says_how_it_is_resumed(
    settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    database = await asyncpg.connect(settings.database_url)
    try:
        async with forked.running("seed", "1000000", env=environment(settings), log=log) as process:
            async with limited(30):
                while not await database.fetchval("select count(*) from users"):
                    await asyncio.sleep(0.02)
            process.send_signal(signal.SIGINT)
            assert await ended(process, 20) == INTERRUPTED
    finally:
        await database.close()
    assert log.read_text() == "tandem: Interrupted; the same command resumes.\n"
