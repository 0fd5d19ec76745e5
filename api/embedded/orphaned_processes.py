"""Ends stores that outlived a killed Tandem: where no parent-death signal exists, or it was missed.

A process id in a file proves nothing, for numbers are reused. Both servers work inside their data
directory, so a process counts as a leftover only when it is seen there.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.embedded.data_directory import Directory


def end_leftovers(data: Directory) -> None:
    for name, pid_file, number in (
        ("postgres", "postmaster.pid", signal.SIGQUIT),
        ("valkey", "valkey.pid", signal.SIGKILL),
    ):
        if data.holds(name):
            with data.entered(name) as directory:
                _end(directory, pid_file, number)


def _end(directory: Directory, pid_file: str, number: signal.Signals) -> None:
    pid = pid_in(directory, pid_file)
    if pid is not None and works_in(pid, directory):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def pid_in(directory: Directory, pid_file: str) -> int | None:
    first = (directory.read(pid_file) or "").split("\n", 1)[0].strip()
    return int(first) if re.fullmatch(r"[0-9]{1,10}", first) and int(first) > 1 else None


def works_in(pid: int, directory: Directory) -> bool:
    """True when that process works there (on macOS: when its command names the directory).

    It must also be a process of the directory's owner, who else could name any process to root.
    """
    if Path("/proc/self/cwd").exists():
        with suppress(OSError):
            place = os.stat(f"/proc/{pid}/cwd")
            same = os.path.samestat(place, os.fstat(directory.descriptor))
            return same and os.stat(f"/proc/{pid}").st_uid == directory.owner
        return False
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return str(directory.path) in found.stdout
