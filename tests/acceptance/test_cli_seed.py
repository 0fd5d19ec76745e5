"""tandem seed: the same users for the same seed, created by real commands, none of them twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from api.cli.seed_data.people import person
from tests.acceptance.cli import run_on
from tests.acceptance.service import running
from tests.processes import HOST, free_port

if TYPE_CHECKING:
    from api.settings import Settings

COUNTS = "select (select count(*) from users), (select count(*) from orders), (select count(*) from events)"


def test_a_person_is_the_same_for_the_same_seed_and_number_alone() -> None:
    assert person(1, 7) == person(1, 7)
    assert person(1, 7).email != person(2, 7).email != person(2, 8).email
    assert all(person(1, number).email.endswith("@example.com") for number in range(100))
    outcomes = {order.outcome for number in range(100) for order in person(1, number).orders}
    assert outcomes == {"open", "completed", "cancelled"}


async def test_the_same_seed_again_does_nothing_twice_and_more_adds_to_it(
    settings: Settings,
) -> None:
    async with running(settings) as client:
        log = await asyncpg.connect(settings.database_url)
        try:
            first = (await run_on(settings, "seed", "20", "--json")).json
            assert (first["users"], first["refused"]) == (20, 0)
            counted = await log.fetchrow(COUNTS)
            assert counted is not None
            assert tuple(counted)[:2] == (20, first["orders"])
            assert (await run_on(settings, "seed", "20", "--json")).json == first
            assert await log.fetchrow(COUNTS) == counted
            more = await run_on(settings, "seed", "25")
            assert more.out.startswith("25 users")
            assert await log.fetchval("select count(*) from users") == 25
        finally:
            await log.close()
        assert (await run_on(settings, "verify")).status == 0
        users = (await client.data("{ users(first: 3) { totalCount } }"))["users"]
        assert users["totalCount"] == 25


async def test_without_a_database_it_is_one_sentence(settings: Settings) -> None:
    nowhere = f"postgresql://nobody@{HOST}:{free_port()}/none"
    said = await run_on(settings, "seed", "3", DATABASE_URL=nowhere)
    assert said.status == 1
    assert len(said.err.splitlines()) == 1
    assert "DATABASE_URL" in said.err
