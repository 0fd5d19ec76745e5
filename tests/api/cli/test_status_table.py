"""The table of `tandem status`, in terminals of several widths."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from api.cli.status_table import StatusTable
from api.observability.pipeline import PartitionView, PipelineStatus
from api.observability.problems import MANY_ENTRIES
from domain.log.backlog import MAX_COUNTED, Backlog
from readside.admin.partition_status import Building, Group, PartitionStatus

ACTIVE, BUILT, OWNER = "19ab3c4d5e6-a1b2c3d4", "19ab3c4d5e7-aaaabbbb", "0123456789abcdef"
IDLE_LOG = Backlog(written=7, unpublished=0, oldest=None)


def busy(*, oldest: float = 99.94, progress: Building | None = None) -> PartitionView:
    """A partition with more of everything than is well."""
    log = Backlog(written=10**12, unpublished=MAX_COUNTED, oldest=oldest)
    model = PartitionStatus(
        entries=12_345_678,
        owner=OWNER,
        generations={"serving:code": ACTIVE, ACTIVE: "live", BUILT: "live"},
        generation=ACTIVE,
        behind=500,
        lag=oldest,
        applied=123_456_789,
        parked=12_345,
        lost=1_234,
        progress=progress,
    )
    return PartitionView(number=1023, backlog=log, status=model)


def idle(number: int, **changes: object) -> PartitionView:
    values = {"owner": OWNER, "generation": ACTIVE, "behind": 0, "applied": 0} | changes
    model = PartitionStatus(entries=0, parked=0, lost=0, **values)  # type: ignore[arg-type]
    return PartitionView(number=number, backlog=IDLE_LOG, status=model)


def shown(width: int, *partitions: PartitionView, show_all: bool = False) -> str:
    console = Console(width=width, file=StringIO())
    view = PipelineStatus(
        at=0.0, postgresql_error=None, redis_error=None, partitions=list(partitions)
    )
    console.print(StatusTable(view, show_all))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def rows(text: str) -> list[str]:
    """The numbers of the partitions that are listed."""
    return [word for line in text.splitlines() for word in line.split()[:1] if word.isdigit()]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_largest_figures_are_shown_complete_in_one_line_of_80_columns(width: int) -> None:
    text = shown(width, busy())
    [row] = [line for line in text.splitlines() if line.split()[:1] == ["1023"]]
    figures = {"1023", f"{MAX_COUNTED}+", "99.9", "500", "123456789", "12345", "1234"}
    assert figures | {f"…{name[-5:]}" for name in (ACTIVE, BUILT, OWNER)} <= set(row.split())
    assert row.rstrip().endswith(OWNER[-5:])
    assert len(row.rstrip()) <= 80
    for word in ("publish", "waits", "apply", "applied", "parked", "resync", "active", "owner"):
        assert word in text[: text.index(row)]


def test_the_verdict_is_the_first_line() -> None:
    assert shown(80, idle(0)).startswith("All is well: 1 partitions are served")
    assert shown(80, busy()).startswith("✗ ")


@pytest.mark.parametrize(
    "changes",
    [
        {"applied": 1},
        {"behind": 1},
        {"parked": 1},
        {"lost": 1},
        {"generation": None},
        {"owner": None},
        {"progress": Building(done=0, expected=9)},
    ],
)
def test_only_partitions_with_a_value_that_is_not_0_are_listed(changes: dict[str, object]) -> None:
    model = idle(7).status
    assert model is not None
    changed = PartitionStatus(**{f: getattr(model, f) for f in model.__struct_fields__} | changes)
    partitions = [idle(6), PartitionView(number=7, backlog=IDLE_LOG, status=changed)]
    text = shown(80, *partitions)
    assert rows(text) == ["7"]
    assert "Not listed: 1 partitions" in text
    everything = shown(80, *partitions, show_all=True)
    assert rows(everything) == ["6", "7"]
    assert "Not listed" not in everything


def test_an_event_that_waits_for_the_relay_has_its_partition_listed() -> None:
    log = Backlog(written=7, unpublished=1, oldest=0.5)
    unknown = PartitionView(number=2, backlog=None, status=None)
    waits = PartitionView(number=1, backlog=log, status=None)
    assert rows(shown(80, idle(0), waits, unknown)) == ["1"]


@pytest.mark.parametrize(("entries", "grave"), [(MANY_ENTRIES - 1, False), (MANY_ENTRIES, True)])
def test_a_group_that_keeps_entries_and_is_not_read_is_named(entries: int, grave: bool) -> None:
    groups = {BUILT: Group(entries, 45.0), "read": Group(7, 1.0), ACTIVE: Group(9, 99.0)}
    model = PartitionStatus(
        entries=9, generation=ACTIVE, applied=0, parked=0, lost=0, groups=groups
    )
    text = shown(200, PartitionView(number=3, backlog=None, status=model))
    assert f"partition 3: {BUILT} keeps {entries} entries; last read 45 s ago" in text
    assert text.count(" keeps ") == 1 + grave
    assert ("`tandem generations remove` frees them" in text) is grave


def test_a_generation_that_is_being_built_has_its_progress() -> None:
    assert "34%" in shown(80, busy(progress=Building(done=34, expected=100)))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (99.96, "2 min"), (3600.0, "60 min"), (6000.0, "2 h"), (360_000.0, "100 h")],
)
def test_a_duration_has_a_unit_of_its_size(seconds: float, text: str) -> None:
    assert text in shown(80, busy(oldest=seconds))
