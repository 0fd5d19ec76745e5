"""The pipeline for a terminal of 80 columns: what is wrong, then a row for each partition.

Names of generations and projectors are abbreviated to their ends, which differ; `--json` has them complete.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from api.observability.pipeline import PartitionView, PipelineStatus
from api.observability.problems import CRITICAL_SECONDS, SLOW_SECONDS, problems
from domain.log.backlog import MAX_COUNTED, Backlog
from readside.admin.partition_status import PartitionStatus
from readside.admin.retained_generations import IN_USE_SECONDS

_UNKNOWN = Text("?", style="dim")
_NONE = Text("-", style="dim")

_SHOWN_END = 5
"""Characters of a name that are shown."""

_COLUMNS = (
    "parti-\ntion",
    "to\npublish",
    "waits",
    "to\napply",
    "waits",
    "applied",
    "parked",
    "resync",
    "active",
    "other",
    "owner",
)


class StatusTable:
    """The verdict, and a row for each partition with a value other than 0, or for all with `show_all`."""

    def __init__(self, view: PipelineStatus, show_all: bool = False) -> None:
        self._view = view
        self._partitions = [one for one in view.partitions if show_all or _has_value(one)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _verdict(self._view)
        if self._partitions:
            yield Text()
            yield self._table()
        if hidden := len(self._view.partitions) - len(self._partitions):
            yield Text(
                f"Not listed: {hidden} partitions without a value other than 0 (--all).", "dim"
            )
        yield from _retained(self._view)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 0, 0, 1))
        for head in _COLUMNS:
            table.add_column(head, justify="right", vertical="bottom", no_wrap=True)
        for partition in self._partitions:
            row = *_log_cells(partition.backlog), *_read_model_cells(partition.status)
            table.add_row(str(partition.number), *row)
        return table


def _has_value(partition: PartitionView) -> bool:
    """Returns whether a value of a partition is not 0, or its read model is not served or has no owner."""
    log, model = partition.backlog, partition.status
    if log and log.unpublished:
        return True
    if model is None:
        return False
    counted = model.behind or model.applied or model.parked or model.lost or model.progress
    return bool(counted) or model.generation is None or model.owner is None


def _verdict(view: PipelineStatus) -> Iterator[Text]:
    found = problems(view)
    if not found:
        served = len(view.partitions)
        yield Text(f"All is well: {served} partitions are served, and nothing waits.", "green")
    for problem in found:
        mark, style = ("✗", "bold red") if problem.critical else ("!", "yellow")
        yield Text(f"{mark} {problem.sentence}", style)


def _retained(view: PipelineStatus) -> Iterator[Text]:
    """Yields a line for each group that keeps entries in a stream and is not read."""
    for partition in view.partitions:
        groups = partition.status.kept_back if partition.status else {}
        for name, group in sorted(groups.items()):
            if group.idle is None or group.idle > IN_USE_SECONDS:
                read = "never read" if group.idle is None else f"last read {group.idle:.0f} s ago"
                text = f"partition {partition.number}: {name} keeps {group.entries} entries; {read}"
                yield Text(text, "dim")


def _log_cells(log: Backlog | None) -> tuple[Text, Text]:
    if log is None or log.unpublished is None:
        return _UNKNOWN, _UNKNOWN
    more = "+" if log.unpublished >= MAX_COUNTED else ""
    return Text(f"{log.unpublished}{more}"), _duration(log.oldest)


def _read_model_cells(model: PartitionStatus | None) -> tuple[Text, ...]:
    if model is None:
        return (_UNKNOWN,) * 8
    return (
        _UNKNOWN if model.behind is None else Text(str(model.behind)),
        _duration(model.lag),
        Text(str(model.applied)),
        Text(str(model.parked), "bold red" if model.parked else ""),
        Text(str(model.lost), "yellow" if model.lost else ""),
        Text(_end(model.generation)) if model.generation else Text("none", "bold red"),
        _other_generations(model),
        Text(_end(model.owner)) if model.owner else Text("none", "yellow"),
    )


def _other_generations(model: PartitionStatus) -> Text:
    """Returns the progress of the generation that is being built, or the names of those that are kept."""
    if model.progress is not None:
        return Text(f"{model.progress.done / model.progress.expected:.0%}", "yellow")
    return Text("\n".join(map(_end, sorted(model.building))), "dim") if model.building else _NONE


def _end(name: str) -> str:
    return f"…{name[-_SHOWN_END:]}"


def _duration(seconds: float | None) -> Text:
    """Returns a duration in at most 6 characters."""
    if seconds is None:
        return _NONE
    style = "bold red" if seconds > CRITICAL_SECONDS else "yellow" if seconds > SLOW_SECONDS else ""
    if seconds < 99.95:
        return Text(f"{seconds:.1f} s", style)
    minutes = seconds / 60
    return Text(f"{minutes:.0f} min" if minutes < 99.5 else f"{minutes / 60:.0f} h", style)
