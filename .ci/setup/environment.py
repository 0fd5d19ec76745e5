"""Makes .venv and installs Tandem in it, with exactly the versions of constraints.txt.

    environment.py STAMPS EXTRAS

The stamps tell make what the environment is good for. Run by .ci/setup/with_python.sh, with whatever
Python this machine has, so it uses the standard library alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path.cwd()
VENV = HERE / ".venv"
PYTHON = VENV / "bin" / "python"
CONSTRAINTS = HERE / "constraints.txt"


def main(stamps: list[str], extras: str) -> int:
    with Path(".venv.lock").open("w") as lock:  # make up and make test may both begin here
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not sound():
            say(f"Making .venv with Python {sys.version.split()[0]}")
            shutil.rmtree(VENV, ignore_errors=True)
            if run(sys.executable, "-m", "venv", str(VENV)) != 0:
                return fail("The environment .venv could not be made; see what Python says above.")
        say("Installing what Tandem needs")
        if install("pip") != 0 or install("--editable", f".[{extras}]") != 0:
            return fail("The installation failed; see what pip says above, then run make again.")
        for stamp in stamps:
            (VENV / f".{stamp}").touch()
    return 0


def sound() -> bool:
    """It runs, and it was made here: its scripts hold the path of this directory."""
    settings = VENV / "pyvenv.cfg"
    return (
        settings.exists()
        and f"venv {VENV}\n" in settings.read_text()
        and run(str(PYTHON), "-c", "import pip", quiet=True) == 0
    )


def install(*what: str) -> int:
    """The constraints also hold where pip builds Tandem itself; old and new pip call that differently."""
    options = ("--quiet", "--disable-pip-version-check", "--constraint", str(CONSTRAINTS))
    constrained = {"PIP_CONSTRAINT": str(CONSTRAINTS), "PIP_BUILD_CONSTRAINT": str(CONSTRAINTS)}
    return run(str(PYTHON), "-m", "pip", "install", *options, *what, env=os.environ | constrained)


def run(*command: str, env: dict[str, str] | None = None, quiet: bool = False) -> int:
    output = subprocess.DEVNULL if quiet else None
    try:
        return subprocess.run(
            command, env=env, stdout=output, stderr=output, check=False
        ).returncode
    except OSError:
        return 127


def say(what: str) -> None:
    print(f"{what} ...", flush=True)


def fail(why: str) -> int:
    print(why, file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1].split(","), sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(130)
