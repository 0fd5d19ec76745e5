"""tandem migrate --plan tells what would be applied, and applies nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.migrate import load_migrations
from tests.acceptance.verbs import ask

if TYPE_CHECKING:
    from api.settings import Settings


async def test_a_plan_tells_and_does_nothing(settings: Settings, empty_database_url: str) -> None:
    empty = settings.model_copy(update={"database_url": empty_database_url})
    names = [migration.name for migration in load_migrations()]
    plan = await ask(empty, "migrate", "--plan", "--json")
    assert (plan.status, plan.json) == (3, {"pending": names})
    done = await ask(empty, "migrate")
    assert (done.status, done.out.splitlines()) == (0, [f"applied {name}" for name in names])
    after = await ask(empty, "migrate", "--plan")
    assert (after.status, after.out) == (0, "")
