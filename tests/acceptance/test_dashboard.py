"""The dashboard queries metrics that exist, and docs/operations.md says which deserve an alarm."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.service import Client

NAME = re.compile(r"\b((?:tandem|process)_[a-z_]+)\b")
CHOSEN = re.compile(r"\b((?:tandem|process)_[a-z_]+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)(?:=~|!=|!~|=)"([^"]*)"')
GROUPED = re.compile(r"\b(?:by|without|on|ignoring) \(([^)]*)\)")
IN_LEGEND = re.compile(r"\{\{(\w+)\}\}")
OF_PROMETHEUS = {"instance", "job"}

Labels = dict[str, dict[str, set[str]]]
"""By the name of a figure: its labels, and the values that each has been seen with."""


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs/dashboard.json").read_text())
    return found


def targets() -> Iterator[dict[str, str]]:
    for panel in dashboard()["panels"]:
        yield from panel.get("targets", ())


def expressions() -> list[str]:
    return [target["expr"] for target in targets()]


def alarms() -> list[str]:
    page = (ROOT / "docs/operations.md").read_text()
    found = re.findall(r"^\| `([^`]*tandem_[^`]*)`(?: for|,| \|)", page, re.MULTILINE)
    return [expression.replace("\\|", "|") for expression in found]


async def told(client: Client) -> Labels:
    """All figures, once each part has done something."""
    order = await client.place_order(await client.create_user())
    await client.complete_order(order)
    text = (await client.http.get("/metrics")).text
    found: Labels = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, defaultdict(set))
            for label, value in sample.labels.items():
                labels[label].add(value)
    return found


async def test_every_metric_that_the_dashboard_or_the_docs_query_is_exported(
    client: Client,
) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    asked = {name for text in [*expressions(), page] for name in NAME.findall(text)}
    assert len(asked) > 20
    assert asked - (await told(client)).keys() == set()


async def test_every_label_that_a_query_selects_is_exported_with_that_value(
    client: Client,
) -> None:
    figures = await told(client)
    assert len(alarms()) > 10
    for expression in [*expressions(), *alarms()]:
        for name, matchers in CHOSEN.findall(expression):
            for label, values in MATCHER.findall(matchers):
                assert set(values.split("|")) <= figures[name][label], expression
        for label in grouped(expression) - OF_PROMETHEUS:
            names = NAME.findall(expression)
            assert all(label in figures[name] for name in names), (label, expression)


async def test_every_label_of_a_legend_is_in_the_series_of_its_panel(client: Client) -> None:
    figures = await told(client)
    for target in targets():
        expression = target["expr"]
        left = grouped(expression)
        if " by (" not in expression:
            left = OF_PROMETHEUS.union(*(figures[name] for name in NAME.findall(expression)))
        assert set(IN_LEGEND.findall(target["legendFormat"])) <= left, expression


def grouped(expression: str) -> set[str]:
    """The labels that its aggregations and comparisons go by."""
    return {label for labels in GROUPED.findall(expression) for label in labels.split(", ")}


async def test_every_figure_of_ours_is_on_the_dashboard(client: Client) -> None:
    asked = {name for text in expressions() for name in NAME.findall(text)}
    ours = {
        name
        for name in await told(client)
        if name.startswith("tandem_") and not name.endswith(("_sum", "_count"))
    }
    assert ours - asked == set()


def test_no_two_panels_of_the_dashboard_overlap() -> None:
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


def test_the_dashboard_is_what_grafana_imports() -> None:
    """As Grafana 10.3 to 11 write it: whoever imports it chooses a Prometheus, which all panels then ask."""
    found = dashboard()
    assert found["schemaVersion"] == 39
    [source] = found["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    asked = {"type": "prometheus", "uid": f"${{{source['name']}}}"}
    for panel in found["panels"]:
        if panel["type"] == "row":
            assert (panel["collapsed"], panel["panels"]) == (False, [])
            continue
        assert panel["datasource"] == asked
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        marks = [target["refId"] for target in panel["targets"]]
        assert len(set(marks)) == len(marks)
        assert all(target["datasource"] == asked for target in panel["targets"])


UNITS = {"none", "s", "ops", "bytes", "percentunit"}
"""Of those that Grafana knows, the ones that our figures are in."""
