"""CPU and memory as the operating system counted them, from /proc."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

PROC = Path("/proc")


class _Stat(NamedTuple):
    pid: int
    parent: int
    seconds: float


def _stat(pid: int) -> _Stat | None:
    try:
        line = (PROC / str(pid) / "stat").read_text()
    except OSError:  # it ended between the listing and the reading
        return None
    fields = line[line.rindex(")") + 2 :].split()
    ticks = int(fields[11]) + int(fields[12])  # utime + stime
    return _Stat(pid, int(fields[1]), ticks / os.sysconf("SC_CLK_TCK"))


def _processes() -> list[_Stat]:
    if not PROC.is_dir():
        return []
    listed = (_stat(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit())
    return [stat for stat in listed if stat is not None]


def of_trees(roots: Iterable[int]) -> float | None:
    """CPU seconds of these processes and of all their living descendants together; None without /proc."""
    processes, wanted = _processes(), set(roots)
    if not wanted.intersection(stat.pid for stat in processes):
        return None
    while more := {s.pid for s in processes if s.parent in wanted} - wanted:
        wanted |= more
    return sum(stat.seconds for stat in processes if stat.pid in wanted)


def memory_of(pid: int, kind: str = "VmRSS") -> int:
    """Bytes that the process has in memory, or has had at most (VmHWM); 0 where there is no /proc."""
    try:
        status = (PROC / str(pid) / "status").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{kind}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
