"""Prints what pip is to install, as a requirements file, for constraints.txt to pin and to hash.

    requirements.py pip          pip itself, pinned and with its hashes: an older pip installs it
    requirements.py otel build   what Tandem and its extras require themselves, and what builds it

What the requirements require in turn is in constraints.txt. A pip that is pinned there takes the
hashes of constraints for requirements and for what these require: older ones do not.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

BUILD = "build"
"""Not an extra of Tandem: the build backends, for an installation without build isolation."""
EDITABLES = "editables"
"""What hatchling requires for an editable installation, and pyproject.toml cannot name."""


def direct(extras: list[str], project: Path) -> list[str]:
    about = tomllib.loads((project / "pyproject.toml").read_text())
    optional = about["project"]["optional-dependencies"]
    wanted = [*about["project"]["dependencies"]] if extras != [BUILD] else []
    for extra in extras:
        if extra == BUILD:
            wanted += [*about["build-system"]["requires"], EDITABLES]
        else:
            wanted += optional[extra]
    return list(dict.fromkeys(wanted))


def pip_itself(project: Path) -> str:
    """Returns pip's entry of constraints.txt, over several lines."""
    constraints = (project / "constraints.txt").read_text()
    found = re.search(r"^pip==(?:.*\\\n)*.*$", constraints, re.MULTILINE)
    if found is None:
        raise SystemExit("constraints.txt does not pin pip: run .ci/setup/constraints.py.")
    return found.group()


if __name__ == "__main__":
    project = Path(__file__).parents[2]
    arguments = sys.argv[1:]
    lines = [pip_itself(project)] if arguments == ["pip"] else direct(arguments, project)
    print("\n".join(lines))
