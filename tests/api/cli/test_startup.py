"""What `tandem` does before a command runs: version, completion, and few imports."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

from tests.processes import ROOT, TANDEM

SLOW = {"asyncio", "asyncpg", "graphql", "pydantic", "redis", "rich", "starlette", "strawberry"}
"""Packages that take longer to import than `--help` may take."""


def output(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_the_commands_are_known_without_a_slow_import() -> None:
    modules = output(sys.executable, "-c", "import api.cli, sys; print(*sys.modules)").split()
    assert "api.cli.status" in modules
    assert not SLOW & set(modules)


def test_it_prints_its_version() -> None:
    assert output(TANDEM, "--version") == f"tandem {version('tandem')}\n"


def test_the_shell_completes_commands() -> None:
    words = {"COMP_WORDS": "tandem re", "COMP_CWORD": "1", "_TANDEM_COMPLETE": "complete_bash"}
    assert output(TANDEM, **words).split() == ["relay", "rebuild", "restored"]
