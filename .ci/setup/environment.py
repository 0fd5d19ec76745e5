"""Makes .venv and installs Tandem in it, with exactly the files whose hashes are in constraints.txt.

    environment.py STAMPS EXTRAS

The stamps tell make what the environment is good for. Run by .ci/setup/with_python.sh, with whatever
Python this machine has, so it uses the standard library alone. Three steps: pip itself, since only
the pinned pip checks the hashes of constraints; then all that Tandem requires and what builds it,
wheels alone, because a source would bring build backends that nothing pins; then Tandem, offline.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from requirements import BUILD, direct, pip_itself

HERE = Path.cwd()
VENV = HERE / ".venv"
PYTHON = VENV / "bin" / "python"
CONSTRAINTS = HERE / "constraints.txt"
HASHED = ("--require-hashes", "--only-binary", ":all:")
OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation")


def main(stamps: list[str], extras: str) -> int:
    with Path(".venv.lock").open("w") as lock:  # make up and make test may both begin here
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not sound():
            say(f"Making .venv with Python {sys.version.split()[0]}")
            shutil.rmtree(VENV, ignore_errors=True)
            if run(sys.executable, "-m", "venv", str(VENV)) != 0:
                return fail("The environment .venv could not be made; see what Python says above.")
        say("Installing what Tandem needs")
        if install_all(extras.split(",")) != 0:
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


def install_all(extras: list[str]) -> int:
    dependencies = direct([*extras, BUILD], HERE)
    return (
        install(*HASHED, "--requirement", "/dev/stdin", given=pip_itself(HERE))
        or install(*HASHED, "--constraint", str(CONSTRAINTS), *dependencies)
        or install(*OFFLINE, "--editable", ".")
    )


def install(*what: str, given: str = "") -> int:
    options = ("--quiet", "--disable-pip-version-check")
    return run(str(PYTHON), "-m", "pip", "install", *options, *what, given=given)


def run(*command: str, given: str = "", quiet: bool = False) -> int:
    output = subprocess.DEVNULL if quiet else None
    try:
        return subprocess.run(
            command, input=given.encode(), stdout=output, stderr=output, check=False
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
