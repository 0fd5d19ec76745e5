"""tandem migrate: applies what is missing; --plan lists it; where nothing is missing both say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.cli.migrate import NOTHING_TO_DO
from domain.migrate import load_migrations
from tests.acceptance.cli import tandem

if TYPE_CHECKING:
    from api.settings import Settings


async def test_a_plan_lists_the_migrations_and_applies_none(
    settings: Settings, empty_database_url: str
) -> None:
    empty = settings.model_copy(update={"database_url": empty_database_url})
    names = [migration.name for migration in load_migrations()]
    plan = await tandem(empty, "migrate", "--plan", "--json")
    assert (plan.status, plan.json) == (3, {"pending": names})
    done = await tandem(empty, "migrate")
    assert (done.status, done.out.splitlines()) == (0, [f"applied {name}" for name in names])
    after = await tandem(empty, "migrate", "--plan")
    assert (after.status, after.out) == (0, f"{NOTHING_TO_DO}\n")
    again = await tandem(empty, "migrate")
    assert (again.status, again.out) == (0, f"{NOTHING_TO_DO}\n")
    assert (await tandem(empty, "migrate", "--json")).json == {"applied": []}
