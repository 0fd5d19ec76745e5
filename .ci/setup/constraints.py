"""Prints a new constraints.txt: the newest versions that pyproject.toml allows, all of them exact.

    .venv/bin/python .ci/setup/constraints.py > constraints.new && mv constraints.new constraints.txt

It asks pip's resolver as for an empty environment, so nothing that is installed here leaks in, and
writes names and versions alone. `make test` then installs them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

HEAD = """\
# Every version that is installed, also for building. Written by .ci/setup/constraints.py, which says how.
"""

ALSO = ("editables", "pip")
"""What hatchling asks for at an editable install only, and the installer itself."""


def wanted() -> list[str]:
    about = tomllib.loads(Path("pyproject.toml").read_text())
    extras = about["project"]["optional-dependencies"].values()
    return [
        *about["project"]["dependencies"],
        *(requirement for extra in extras for requirement in extra),
        *about["build-system"]["requires"],
        *ALSO,
    ]


def resolved(requirements: list[str]) -> list[str]:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    found = subprocess.run(
        [*command, "--report", "-", *requirements], check=True, stdout=subprocess.PIPE
    )
    chosen = [entry["metadata"] for entry in json.loads(found.stdout)["install"]]
    return sorted(f"{package['name']}=={package['version']}".lower() for package in chosen)


if __name__ == "__main__":
    print(HEAD + "\n".join(resolved(wanted())))
