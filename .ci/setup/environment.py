"""Makes .venv and installs Tandem in it, with exactly the files whose hashes are in constraints.txt.

    environment.py STAMPS EXTRAS

The stamps say for make which extras are installed. .ci/setup/with_python.sh runs this with a Python of
the machine, so it uses the standard library only. Three steps: pip itself, since only the pinned pip
checks the hashes of constraints; then the requirements and build backends, only as wheels, because a
source distribution would need build backends that are not pinned; then Tandem, offline, while everything
else is compiled: pip would do one after the other.
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
COMPILE = Path(__file__).with_name("compile.py")
HASHED = ("--require-hashes", "--only-binary", ":all:")
OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation")


def main(stamps: list[str], extras: str) -> int:
    with Path(".venv.lock").open("w") as lock:  # make up and make test may run at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_usable():
            report(f"Making .venv with Python {sys.version.split()[0]}")
            shutil.rmtree(VENV, ignore_errors=True)
            if run(sys.executable, "-m", "venv", str(VENV)) != 0:
                return fail(
                    "The environment .venv could not be made; see the output of Python above."
                )
        report("Installing the requirements of Tandem")
        if install_all(extras.split(",")) != 0:
            return fail(
                "The installation failed; see the output of pip above, then run make again."
            )
        for stamp in stamps:
            (VENV / f".{stamp}").touch()
    return 0


def is_usable() -> bool:
    """Returns whether .venv runs and was made here: its scripts contain the path of this directory."""
    settings = VENV / "pyvenv.cfg"
    return (
        settings.exists()
        and f"venv {VENV}\n" in settings.read_text()
        and run(str(PYTHON), "-c", "import pip", quiet=True) == 0
    )


def install_all(extras: list[str]) -> int:
    dependencies = direct([*extras, BUILD], HERE)
    return (
        install(*HASHED, "--requirement", "/dev/stdin", stdin=pip_itself(HERE))
        or install("--no-compile", *HASHED, "--constraint", str(CONSTRAINTS), *dependencies)
        or install_tandem()
    )


def install_tandem() -> int:
    with subprocess.Popen([str(PYTHON), str(COMPILE)]):
        return install(*OFFLINE, "--editable", ".")


def install(*arguments: str, stdin: str = "") -> int:
    options = ("--quiet", "--disable-pip-version-check")
    return run(str(PYTHON), "-m", "pip", "install", *options, *arguments, stdin=stdin)


def run(*command: str, stdin: str = "", quiet: bool = False) -> int:
    output = subprocess.DEVNULL if quiet else None
    try:
        return subprocess.run(
            command, input=stdin.encode(), stdout=output, stderr=output, check=False
        ).returncode
    except OSError:
        return 127


def report(step: str) -> None:
    print(f"{step} ...", flush=True)


def fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1].split(","), sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(130)
