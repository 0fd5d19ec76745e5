"""Prints what a run found: tables for people, JSON for machines, the configuration with both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.peers.table import HEADINGS, rows
from tests.benchmarks.peers.table import LEGEND as LEGEND_OF_PEERS
from tests.benchmarks.scale import page as scale

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.benchmarks.figures import Found, Row
    from tests.benchmarks.figures import Table as FoundTable


LEGEND = "service, stores: CPU in µs an answer; load: the load generator's share of one core"
PIPED = 110  # columns, where there is no terminal to ask


def console() -> Console:
    on_screen = Console()
    return on_screen if on_screen.is_terminal else Console(width=PIPED)


def write_json(found: Found, file: Path) -> None:
    file.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")


def show(found: Found, console: Console, *, short: bool = False) -> None:
    """`short`: the rows of peers once only, and no configuration."""
    compared = {f"{asked.title}: {one.peer}" for asked in found.questions for one in asked.peers}
    if shown := [row for row in found.rows if not (short and row.name in compared)]:
        console.print(_rows(shown))
    if found.questions:
        console.print(_peers(found))
    if found.cells:
        console.print(scale.table(found.cells))
    for table in found.tables:
        console.print(_table(table))
    if found.figures:
        console.print(_figures(found))
    if not short:
        console.print(_configuration(found))
    for note in found.notes:
        console.print(note)
    for row in found.rows:
        if row.failed:
            name = row.name.strip()
            console.print(f"{name}: {row.failed} failed, the first: {row.first_failure}")


def _rows(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE, caption=LEGEND)
    table.add_column("")
    for heading in ("per s", "p50 ms", "p99 ms", "max ms", "service", "stores", "load"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.name, *_cells(row))
    return table


def _cells(row: Row) -> list[str]:
    times = row.latency
    return [
        _number(row.per_second, "{:,.0f}"),
        _number(times.p50 if times else None, "{:.2f}"),
        _number(times.p99 if times else None, "{:.2f}"),
        _number(times.max if times else None, "{:.2f}"),
        _number(row.service_cpu, "{:,.0f}"),
        _number(row.stores_cpu, "{:,.0f}"),
        _number(row.generator_busy, "{:.0%}"),
    ]


def _number(value: float | None, shape: str) -> str:
    return "" if value is None else shape.format(value)


def _peers(found: Found) -> Table:
    table = Table(
        box=box.SIMPLE, title="Beside its peers", title_justify="left", caption=LEGEND_OF_PEERS
    )
    table.add_column("")
    for heading in HEADINGS[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows(found.questions):
        table.add_row(*row)
    return table


def _table(given: FoundTable) -> Table:
    table = Table(box=box.SIMPLE)
    for number, heading in enumerate(given.headings):
        table.add_column(heading, justify="right" if number else "left")
    for cells in given.rows:
        table.add_row(*cells)
    return table


def _figures(found: Found) -> Table:
    table = Table(box=box.SIMPLE, show_header=False)
    for figure in found.figures:
        table.add_row(figure.name, f"{figure.value:.2f} {figure.unit}")
    return table


def _configuration(found: Found) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, title="Configuration", title_justify="left")
    for name, value in found.configuration.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {one}" for key, one in value.items())
        table.add_row(name, str(value))
    return table
