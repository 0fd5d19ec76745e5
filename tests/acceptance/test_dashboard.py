"""The dashboard asks for figures that there are, and the page about operating says which deserve an alarm."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from tests.processes import ROOT

if TYPE_CHECKING:
    from tests.acceptance.service import Client

NAME = re.compile(r"\b((?:tandem|process)_[a-z_]+)\b")


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs/dashboard.json").read_text())
    return found


def expressions() -> list[str]:
    return [
        target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())
    ]


async def told(client: Client) -> set[str]:
    """The names of all samples, once each part has done something."""
    order = await client.place_order(await client.create_user())
    await client.complete_order(order)
    text = (await client.http.get("/metrics")).text
    return {
        sample.name for family in text_string_to_metric_families(text) for sample in family.samples
    }


async def test_every_figure_that_the_dashboard_or_the_page_asks_for_is_told(client: Client) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    asked = {name for text in [*expressions(), page] for name in NAME.findall(text)}
    assert len(asked) > 20
    assert asked - await told(client) == set()


async def test_every_figure_of_ours_is_on_the_dashboard(client: Client) -> None:
    asked = {name for text in expressions() for name in NAME.findall(text)}
    ours = {
        name
        for name in await told(client)
        if name.startswith("tandem_") and not name.endswith(("_sum", "_count"))
    }
    assert ours - asked == set()


def test_the_panels_of_the_dashboard_stand_beside_each_other_and_none_over_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + across, place["y"] + down)
            for across in range(place["w"])
            for down in range(place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert cells.isdisjoint(taken)
        taken |= cells
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
