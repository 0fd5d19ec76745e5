"""tandem status, as whoever is on call asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.roles import Role
from tests.acceptance.service import running
from tests.acceptance.verbs import ask
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from api.settings import Settings


async def test_when_all_is_well_it_says_so_and_a_script_can_read_it(settings: Settings) -> None:
    async with running(settings) as client:
        await client.create_user()
        shown = await ask(settings, "status")
        told = await ask(settings, "status", "--json")
    assert (shown.status, told.status) == (0, 0), shown.err + told.err
    assert "Everything flows." in shown.out
    assert told.json["problems"] == []
    partitions = told.json["look"]["partitions"]
    assert [one["number"] for one in partitions] == list(range(PARTITIONS))
    assert sum(one["standing"]["applied"] for one in partitions) == 1


async def test_without_projectors_it_says_what_to_do_and_exits_with_1(settings: Settings) -> None:
    async with running(settings, frozenset({Role.API})):
        shown = await ask(settings, "status")
    assert shown.status == 1
    assert "not served: see that a relay and a projector run." in shown.out


@pytest.mark.parametrize(
    ("away", "status"),
    [({"redis_url"}, 1), ({"database_url"}, 1), ({"redis_url", "database_url"}, 2)],
)
async def test_a_store_that_is_away_is_named_and_the_other_is_looked_at(
    settings: Settings, away: set[str], status: int
) -> None:
    async with running(settings):
        pass
    nowhere = {
        "redis_url": "redis://127.0.0.1:1",
        "database_url": "postgresql://127.0.0.1:1/tandem",
    }
    gone = settings.model_copy(update={name: nowhere[name] for name in away})
    shown = await ask(gone, "status")
    assert shown.status == status
    assert ("Redis does not answer" in shown.out) == ("redis_url" in away)
    assert ("PostgreSQL does not answer" in shown.out) == ("database_url" in away)
