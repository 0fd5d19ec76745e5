"""A look at the pipeline as a table for a terminal: a row for each partition, and what is wrong below it.

It is as wide as it need be where there is room. Where there is not, names are cut first, because their ends
tell them apart, and then heads are broken and the length of the stream is left out: `--json` has it all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from api.observability.problems import CRITICAL_SECONDS, SLOW_SECONDS, problems
from domain.log.backlog import MAX_COUNTED
from readside.admin.retained_generations import IN_USE_SECONDS

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from api.observability.pipeline import PartitionView, PipelineStatus
    from domain.log.backlog import Backlog
    from readside.admin.partition_status import PartitionStatus

_UNKNOWN = Text("?", style="dim")
_NONE = Text("-", style="dim")

_END_OF_A_NAME = 5

Named = Callable[[str], str]
"""How a name is written."""


class _Column(NamedTuple):
    head: str
    cell: Callable[[PartitionView, Named], Text]
    is_name: bool = False
    spare: bool = False
    """Whether it is left out first."""

    @property
    def narrow_head(self) -> str:
        return self.head.replace("partition", "parti- tion").replace(" ", "\n")


class StatusTable:
    """Draws itself as wide as whoever prints it allows."""

    def __init__(self, look: PipelineStatus) -> None:
        self._look = look

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = (self._table(whole), self._table(ending))
        fits = (
            table
            for table in wide
            if Measurement.get(console, options.update(width=1000), table).maximum
            <= options.max_width
        )
        yield next(fits, None) or self._table(ending, narrow=True)
        yield Text()
        yield from _kept_back(self._look)
        yield from _verdict(self._look)

    def _table(self, named: Named, *, narrow: bool = False) -> Table:
        table = Table(
            box=None, pad_edge=False, header_style="dim", padding=(0, 0 if narrow else 1, 0, 1)
        )
        shown = [column for column in _COLUMNS if not (narrow and column.spare)]
        for column in shown:
            head = column.narrow_head if narrow else column.head
            justify = "left" if column.is_name else "right"
            table.add_column(head, justify=justify, vertical="bottom", no_wrap=True)  # type: ignore[arg-type]
        for one in self._look.partitions:
            table.add_row(*(column.cell(one, named) for column in shown))
        return table


def whole(name: str) -> str:
    return name


def ending(name: str) -> str:
    """What tells a generation or a projector from its like; the log has the whole name."""
    return f"…{name[-_END_OF_A_NAME:]}"


def _kept_back(look: PipelineStatus) -> list[Text]:
    """What keeps entries in the streams that the generations which serve have done with."""
    found = [
        (one.number, name, group)
        for one in look.partitions
        if one.standing
        for name, group in sorted(one.standing.kept_back.items())
        if group.idle is None or group.idle > IN_USE_SECONDS
    ]
    return [
        Text(
            f"partition {number}: {name} keeps {group.entries} entries; "
            + (
                "nothing has read it" if group.idle is None else f"last read {group.idle:.0f} s ago"
            ),
            "dim",
        )
        for number, name, group in found
    ]


def _verdict(look: PipelineStatus) -> list[Text]:
    found = problems(look)
    if not found:
        served = len(look.partitions)
        return [Text(f"All is well: {served} partitions are served, and nothing waits.", "green")]
    return [
        Text(("✗ " if one.grave else "! ") + one.sentence, "bold red" if one.grave else "yellow")
        for one in found
    ]


def _of_log(tell: Callable[[Backlog], Text]) -> Callable[[PartitionView, Named], Text]:
    def cell(one: PartitionView, _: Named) -> Text:
        log = one.backlog
        return _UNKNOWN if log is None or log.unpublished is None else tell(log)

    return cell


def _of_model(
    tell: Callable[[PartitionStatus, Named], Text],
) -> Callable[[PartitionView, Named], Text]:
    return lambda one, named: _UNKNOWN if one.standing is None else tell(one.standing, named)


def _unpublished(log: Backlog) -> Text:
    count = log.unpublished or 0
    return Text(f"{count}{'+' if count >= MAX_COUNTED else ''}")


def _behind(model: PartitionStatus, _: Named) -> Text:
    return _UNKNOWN if model.behind is None else Text(str(model.behind))


def _serves(model: PartitionStatus, named: Named) -> Text:
    if model.generation is None:
        return Text("nobody", "bold red")
    return Text(named(model.generation))


def _beside(model: PartitionStatus, named: Named) -> Text:
    """How far the one is that is being built, or the names of what is kept."""
    if model.progress is not None:
        return Text(f"{model.progress.done / model.progress.expected:.0%}", "yellow")
    return Text("\n".join(map(named, sorted(model.building))), "dim") if model.building else _NONE


def _owner(model: PartitionStatus, named: Named) -> Text:
    return Text(named(model.owner)) if model.owner else Text("nobody", "yellow")


def _waits(seconds: float | None) -> Text:
    """In 6 characters."""
    if seconds is None:
        return _NONE
    style = "bold red" if seconds > CRITICAL_SECONDS else "yellow" if seconds > SLOW_SECONDS else ""
    if seconds < 99.95:
        return Text(f"{seconds:.1f} s", style)
    minutes = seconds / 60
    return Text(f"{minutes:.0f} min" if minutes < 99.5 else f"{minutes / 60:.0f} h", style)


def _none_is_well(count: int, otherwise: str) -> Text:
    return Text(str(count), otherwise if count else "")


_COLUMNS = (
    _Column("partition", lambda one, _: Text(str(one.number))),
    _Column("to publish", _of_log(_unpublished)),
    _Column("waits", _of_log(lambda log: _waits(log.oldest))),
    _Column("in stream", _of_model(lambda model, _: Text(str(model.entries))), spare=True),
    _Column("to apply", _of_model(_behind)),
    _Column("waits", _of_model(lambda model, _: _waits(model.lag))),
    _Column("applied", _of_model(lambda model, _: Text(str(model.applied)))),
    _Column("parked", _of_model(lambda model, _: _none_is_well(model.parked, "bold red"))),
    _Column("lost", _of_model(lambda model, _: _none_is_well(model.lost, "yellow"))),
    _Column("serves", _of_model(_serves), is_name=True),
    _Column("beside", _of_model(_beside), is_name=True),
    _Column("projector", _of_model(_owner), is_name=True),
)
