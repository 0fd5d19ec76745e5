"""Prints a requirements file, whose versions and hashes are in constraints.txt.

    requirements.py pip          pip itself, pinned and with its hashes: an older pip installs it
    requirements.py otel build   the direct requirements of Tandem and its extras, and its build backends

Indirect requirements are in constraints.txt. The pip that is pinned there applies the hashes of
constraints to direct and indirect requirements: older ones do not.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

BUILD = "build"
"""Stands for the build backends, which an installation without build isolation needs; it is no extra."""
EDITABLES = "editables"
"""Requirement of hatchling for an editable installation, which pyproject.toml cannot name."""


def direct(extras: list[str], project: Path) -> list[str]:
    """Returns the direct requirements of Tandem with these extras, or only its build backends."""
    pyproject = tomllib.loads((project / "pyproject.toml").read_text())
    optional = pyproject["project"]["optional-dependencies"]
    requirements = [*pyproject["project"]["dependencies"]] if extras != [BUILD] else []
    for extra in extras:
        if extra == BUILD:
            requirements += [*pyproject["build-system"]["requires"], EDITABLES]
        else:
            requirements += optional[extra]
    return list(dict.fromkeys(requirements))


def pip_itself(project: Path) -> str:
    """Returns pip's entry of constraints.txt, over several lines."""
    constraints = (project / "constraints.txt").read_text()
    entry = re.search(r"^pip==(?:.*\\\n)*.*$", constraints, re.MULTILINE)
    if entry is None:
        raise SystemExit("constraints.txt does not pin pip: run .ci/setup/constraints.py.")
    return entry.group()


if __name__ == "__main__":
    project = Path(__file__).parents[2]
    arguments = sys.argv[1:]
    lines = [pip_itself(project)] if arguments == ["pip"] else direct(arguments, project)
    print("\n".join(lines))
