"""mypy on this checkout, of which one run fills the cache for all tests that need it."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE = ROOT / ".mypy_cache"


@contextmanager
def checked_tree() -> Iterator[subprocess.CompletedProcess[str]]:
    """Runs mypy; inside, no other test process runs it here or changes `CACHE`."""
    with (ROOT / "pyproject.toml").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mypy = Path(sys.executable).parent / "mypy"
        yield subprocess.run([mypy], cwd=ROOT, capture_output=True, text=True, check=False)
