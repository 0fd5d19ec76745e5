"""Programs of others, which a developer may do without. CI installs most, in .ci/setup/programs.sh."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.stores import fast_temp

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
IS_NIGHTLY = os.environ.get("TANDEM_NIGHTLY") == "1"
"""True if tests shall take as long as they may in a night."""

PACKAGES = {"java": "openjdk-17-jdk-headless"}
"""The package of a program in Debian, where it has another name."""

OPTIONAL = {"java"}
"""Programs that CI has not either: they are large."""


class Installed(Protocol):
    def __call__(self, program: str) -> str:
        """Returns the path of a program, or skips the test."""


@pytest.fixture(scope="session")
def installed() -> Installed:
    return _installed


def _installed(program: str) -> str:
    if found := shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
        return found
    missing = f"{program} is not installed (Debian: apt install {PACKAGES.get(program, program)})."
    if os.environ.get("CI") == "true" and program not in OPTIONAL:
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for a proxy's configuration, logs and bodies."""
    with tempfile.TemporaryDirectory(prefix="tandem-interop-", dir=fast_temp()) as place:
        yield Path(place)
