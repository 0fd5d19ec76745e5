"""A look at the pipeline as a table for a terminal: a row for each partition, and what is wrong below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from api.watch.problems import BAD, SLOW, problems
from domain.backlog import MOST

if TYPE_CHECKING:
    from api.watch.pipeline import Look, PartitionLook
    from domain.backlog import Backlog
    from readside.standing import Standing

_UNKNOWN = Text("?", style="dim")

_COLUMNS = (
    "partition",
    "to publish",
    "waits",
    "in stream",
    "to apply",
    "waits",
    "applied",
    "parked",
    "lost",
    "serves",
    "builds",
    "projector",
)


def picture(look: Look) -> RenderableType:
    table = Table(*_COLUMNS, box=None, pad_edge=False, header_style="dim")
    for column in table.columns[:9]:
        column.justify = "right"
    for one in look.partitions:
        table.add_row(*_row(one))
    return Group(table, Text(), *_verdict(look))


def _verdict(look: Look) -> list[Text]:
    found = problems(look)
    if not found:
        served = len(look.partitions)
        return [Text(f"All is well: {served} partitions are served, and nothing waits.", "green")]
    return [
        Text(("✗ " if one.grave else "! ") + one.sentence, "bold red" if one.grave else "yellow")
        for one in found
    ]


def _row(one: PartitionLook) -> list[Text]:
    return [Text(str(one.number)), *_log(one.backlog), *_model(one.standing)]


def _log(backlog: Backlog | None) -> list[Text]:
    if backlog is None or backlog.unpublished is None:
        return [_UNKNOWN] * 2
    more = "+" if backlog.unpublished >= MOST else ""
    return [Text(f"{backlog.unpublished}{more}"), _seconds(backlog.oldest)]


def _model(model: Standing | None) -> list[Text]:
    if model is None:
        return [_UNKNOWN] * (len(_COLUMNS) - 3)
    return [
        Text(str(model.entries)),
        _UNKNOWN if model.behind is None else Text(str(model.behind)),
        _seconds(model.lag),
        Text(str(model.applied)),
        _none_is_well(model.parked, "bold red"),
        _none_is_well(model.lost, "yellow"),
        Text(model.generation) if model.generation else Text("nothing", "bold red"),
        Text(", ".join(sorted(model.building)) or "-", "dim"),
        Text(model.owner) if model.owner else Text("nobody", "yellow"),
    ]


def _seconds(seconds: float | None) -> Text:
    if seconds is None:
        return Text("-", style="dim")
    style = "bold red" if seconds > BAD else "yellow" if seconds > SLOW else ""
    return Text(f"{seconds:.1f} s", style)


def _none_is_well(count: int, otherwise: str) -> Text:
    return Text(str(count), otherwise if count else "")
