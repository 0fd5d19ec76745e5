"""Ends stores that outlived a killed Tandem process, where the parent-death signal is missing or was missed.

A process id in a file proves nothing, because ids are reused. The working directory of both servers is
their data directory, so a process counts as an orphan only if its working directory is there.
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


def end_orphans(data: Directory) -> None:
    """Ends the servers that still run in this data directory."""
    for name, pid_file, number in (
        ("postgres", "postmaster.pid", signal.SIGQUIT),
        ("valkey", "valkey.pid", signal.SIGKILL),
    ):
        if data.holds(name):
            with data.entered(name) as directory:
                _end(directory, pid_file, number)


def _end(directory: Directory, pid_file: str, number: signal.Signals) -> None:
    pid = pid_in(directory, pid_file)
    if pid is not None and is_running_in(pid, directory):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def pid_in(directory: Directory, pid_file: str) -> int | None:
    line = (directory.read(pid_file) or "").split("\n", 1)[0].strip()
    return int(line) if re.fullmatch(r"[0-9]{1,10}", line) and int(line) > 1 else None


def is_running_in(pid: int, directory: Directory) -> bool:
    """True if this is the working directory of the process (on macOS: if its command names the directory).

    The process must also belong to the directory's owner, who otherwise could make root end any process.
    """
    if Path("/proc/self/cwd").exists():
        with suppress(OSError):
            working_directory = os.stat(f"/proc/{pid}/cwd")
            same = os.path.samestat(working_directory, os.fstat(directory.descriptor))
            return same and os.stat(f"/proc/{pid}").st_uid == directory.owner
        return False
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return str(directory.path) in result.stdout
