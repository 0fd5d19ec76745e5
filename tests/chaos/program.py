"""Tandem as real processes that start in no time: one process imports everything, and forks the others.

Each line of its input asks for one, as JSON: the words of the command line, its environment and its log.
What is forked arms what FAILPOINTS and MUTANT say, and is `tandem` from then on. It is killed when its
parent dies, and so is the parent when the test dies.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec

import api.runtime.startup  # noqa: F401 - a verb imports it only when it serves: else each of them would, for a second
from api import cli
from tests.chaos import failpoints, mutants

PR_SET_PDEATHSIG = 1

STATUS = ".status"
"""Appended to the name of a log: the file with the exit status of a process that ended by itself."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A process to start; its id is the answer."""

    words: list[str]
    env: dict[str, str]
    log: str


def main() -> None:
    die_with_parent()
    gc.freeze()
    for line in iter(_line, b""):
        _bury()
        wanted = msgspec.json.decode(line, type=Wanted)
        pid = os.fork()
        if pid == 0:
            _become(wanted)
        os.write(1, b"%d\n" % pid)


def _bury() -> None:
    """Forgets whoever has ended; not sooner, so that a process that ends at once can still be looked at."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _line() -> bytes:
    """Byte by byte, so that nothing is left in a buffer that a fork would copy."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


def _become(wanted: Wanted) -> NoReturn:
    status = 1
    try:
        die_with_parent()
        os.setsid()
        log = os.open(wanted.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(wanted.env)
        mutants.apply(os.environ.get("MUTANT", ""))
        failpoints.arm(os.environ.get("FAILPOINTS", ""))
        sys.argv = ["tandem", *wanted.words]
        cli.main()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        Path(f"{wanted.log}{STATUS}").write_text(str(status))
        os._exit(status)


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
