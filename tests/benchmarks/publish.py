"""Puts a run's figures on the pages, between marks: what it measured, and what was run, where and when."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from tests.benchmarks.figures import Figure, Found, Row, Table
from tests.benchmarks.peers.asked import ASKED
from tests.benchmarks.peers.compared import Question
from tests.benchmarks.peers.plot import svg
from tests.benchmarks.peers.servers import HERE
from tests.benchmarks.peers.table import LEGEND, markdown
from tests.benchmarks.scale import page as scale
from tests.benchmarks.scale.model import Cell
from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DOCS = ROOT / "docs"
PERFORMANCE, SCALING = DOCS / "performance.md", DOCS / "scaling.md"


def read(file: Path) -> Found:
    """What a run has written with --json. Raises msgspec.ValidationError."""
    raw = msgspec.json.decode(file.read_bytes())
    types = {
        "rows": list[Row],
        "figures": list[Figure],
        "questions": list[Question],
        "tables": list[Table],
        "cells": list[Cell],
    }
    lists = {name: msgspec.convert(raw[name], type=of) for name, of in types.items()}
    return Found(configuration=raw["configuration"], notes=raw["notes"], **lists)


def publish(found: Found) -> None:
    """Writes each section that the run measured whole; the others remain."""
    told = f"Run on {found.configuration['date']} by `{found.configuration['command']}`:"
    configuration = _configuration(found.configuration)
    if len(found.questions) == len(ASKED):
        (DOCS / "performance.svg").write_text(svg(found.questions))
        plot = "![CPU an answer, beside the peers](performance.svg)"
        parts = (plot, told, markdown(found.questions), f"{LEGEND}.", configuration)
        _write(PERFORMANCE, "peers", "\n\n".join(parts))
    if found.tables:
        tables = [_table(one) for one in (*_rows(found), *found.tables, *_figures(found))]
        _write(PERFORMANCE, "alone", "\n\n".join((told, *tables, configuration)))
    if found.cells:
        once = _configuration(found.configuration, rounds="")
        (DOCS / scale.PLOT).write_text(scale.svg(found.cells))
        _write(SCALING, "scale", f"{scale.section(found.cells, told)}\n\n{once}")


def _write(page: Path, name: str, section: str) -> None:
    page.write_text(replaced(page.read_text(), name, section))


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: make bench writes from here -->", f"<!-- {name}: to here -->"


def replaced(page: str, name: str, section: str) -> str:
    """The page with another text between the marks. Raises ValueError if they are not there."""
    begin, end = marks(name)
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{section}\n{end}{after}"


def _table(table: Table) -> str:
    lines = [f"| {' | '.join(table.headings)} |", "|---|" + "--:|" * (len(table.headings) - 1)]
    return "\n".join((*lines, *(f"| {' | '.join(cells)} |" for cells in table.rows)))


def _rows(found: Found) -> list[Table]:
    """Of Tandem alone; those of peers are in their own table."""
    compared = {f"{asked.title}: {one.peer}" for asked in found.questions for one in asked.peers}
    shown = [row for row in found.rows if row.name not in compared]
    if not shown:
        return []
    headings = ("", "per s", "p50 ms", "p99 ms", "service CPU µs", "stores CPU µs")
    return [Table(headings=headings, rows=[_cells(row) for row in shown])]


def _cells(row: Row) -> list[str]:
    times = row.latency
    values = (
        row.per_second,
        times and times.p50,
        times and times.p99,
        row.service_cpu,
        row.stores_cpu,
    )
    shapes = ("{:,.0f}", "{:.1f}", "{:.1f}", "{:.0f}", "{:.0f}")
    return [
        row.name.strip(),
        *("" if v is None else shape.format(v) for v, shape in zip(values, shapes, strict=True)),
    ]


def _figures(found: Found) -> list[Table]:
    rows = [[one.name.strip(), f"{one.value:,.4g} {one.unit}"] for one in found.figures]
    return [Table(headings=("", ""), rows=rows)] if rows else []


def _configuration(configuration: Mapping[str, Any], rounds: str = ", {} rounds") -> str:
    options, versions = configuration["options"], dict(configuration["packages"])
    if "node" in configuration:
        npm = json.loads((HERE / "package.json").read_text())["dependencies"]
        versions |= {**npm, "node": configuration["node"]}
    return (
        f"{configuration['cores']} cores ({configuration['cpu']}), {configuration['system']}, "
        f"{configuration['python']}, commit {configuration['commit']}; {options['connections']} connections "
        f"unless said otherwise, {options['seconds']:g} s a measurement{rounds.format(options['rounds'])}; "
        f"load average at the start {configuration['load average at the start']}. {_stores(configuration)} "
        f"Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}."
    )


def _stores(configuration: Mapping[str, Any]) -> str:
    told = [
        f"{store}: {', '.join(f'{name} {value}' for name, value in configuration[store].items())}."
        for store in ("postgresql", "valkey")
        if store in configuration
    ]
    return " ".join(told)
