"""Ends stores that outlived a killed Tandem: where no parent-death signal exists, or it was missed.

A process id in a file proves nothing, for numbers are reused. Both servers work inside their data
directory, so a process counts as a leftover only when it is seen there.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path


def end_leftovers(data_dir: Path) -> None:
    for pid_file, number in (
        (data_dir / "postgres" / "postmaster.pid", signal.SIGQUIT),
        (data_dir / "valkey" / "valkey.pid", signal.SIGKILL),
    ):
        pid = pid_in(pid_file)
        if pid is not None and works_in(pid, pid_file.parent):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def pid_in(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def works_in(pid: int, directory: Path) -> bool:
    """True when that process works there (on macOS: when its command names the directory)."""
    if Path("/proc/self/cwd").exists():
        with suppress(OSError):
            return Path(f"/proc/{pid}/cwd").samefile(directory)
        return False
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return str(directory) in found.stdout
