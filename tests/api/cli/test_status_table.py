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

SERVES, BUILT, OWNER = "19ab3c4d5e6-a1b2c3d4", "19ab3c4d5e7-aaaabbbb", "0123456789abcdef"


def drawn(width: int, *, oldest: float = 99.94, progress: Building | None = None) -> str:
    """A partition with more of everything than is well."""
    log = Backlog(written=10**12, unpublished=MAX_COUNTED, oldest=oldest)
    model = PartitionStatus(
        entries=12_345_678,
        owner=OWNER,
        generations={"serving:code": SERVES, SERVES: "live", BUILT: "live"},
        generation=SERVES,
        behind=500,
        lag=oldest,
        applied=123_456_789,
        parked=12_345,
        lost=1_234,
        progress=progress,
    )
    one = PartitionView(number=1023, backlog=log, standing=model)
    return shown(width, one)


def shown(width: int, one: PartitionView) -> str:
    console = Console(width=width, file=StringIO())
    console.print(StatusTable(PipelineStatus(at=0.0, writes=None, reads=None, partitions=[one])))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_largest_figures_are_shown_whole_in_one_line(width: int) -> None:
    [row] = [line for line in drawn(width).splitlines() if line.split()[:1] == ["1023"]]
    figures = {"1023", f"{MAX_COUNTED}+", "99.9", "500", "123456789", "12345", "1234"}
    assert figures <= set(row.split())
    assert row.rstrip().endswith(OWNER[-5:])
    assert len(row.rstrip()) <= width


def test_where_there_is_room_names_are_whole_and_so_are_heads() -> None:
    assert all(name in drawn(200) for name in (SERVES, BUILT, OWNER))
    for head in ("partition", "to publish", "in stream", "to apply"):
        assert head in drawn(120)
        assert head in drawn(200)


@pytest.mark.parametrize(("entries", "grave"), [(MANY_ENTRIES - 1, False), (MANY_ENTRIES, True)])
def test_what_keeps_entries_and_is_not_read_is_named(entries: int, grave: bool) -> None:
    groups = {BUILT: Group(entries, 45.0), "read": Group(7, 1.0), SERVES: Group(9, 99.0)}
    model = PartitionStatus(
        entries=9, generation=SERVES, applied=0, parked=0, lost=0, groups=groups
    )
    text = shown(200, PartitionView(number=3, backlog=None, standing=model))
    assert f"partition 3: {BUILT} keeps {entries} entries; last read 45 s ago" in text
    assert text.count(" keeps ") == 1 + grave
    assert ("`tandem generations remove` frees them" in text) is grave


def test_what_is_being_built_says_how_far_it_is() -> None:
    assert "34%" in drawn(80, progress=Building(done=34, expected=100))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (99.96, "2 min"), (3600.0, "60 min"), (6000.0, "2 h"), (360_000.0, "100 h")],
)
def test_a_wait_is_told_in_a_unit_of_its_size(seconds: float, said: str) -> None:
    assert said in drawn(80, oldest=seconds)
