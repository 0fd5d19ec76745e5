"""Starts `tandem` processes by forking one that has imported everything, which takes milliseconds.

Each line of its input requests one process as JSON; the answer is its id. A forked process applies what
FAILPOINTS and MUTANT in its environment say, and runs `tandem` from then on. It gets a signal when this
process dies, and this process is killed when the test process dies.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pkgutil
import signal
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import msgspec

PR_SET_PDEATHSIG = 1

STATUS = ".status"
"""Appended to the name of a log: the file with the exit status of a process that ended by itself."""

PACKAGES = ("api", "domain", "readside")
NOT_IMPORTED = ("api.graphiql.build_hook",)
"""Modules that no process of the service imports."""


class ForkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A process to start."""

    words: list[str]
    """The arguments of `tandem`."""
    env: dict[str, str]
    """Its whole environment."""
    out: str
    """The file for its standard output, to which the process appends."""
    err: str
    """The file for its standard error; may be the same."""
    death_signal: int
    """The signal that the process gets when the fork server dies."""


WITH_PRODUCTS = "--with-products"
"""The argument with which its processes have the second aggregate of these tests too."""


def main() -> None:
    die_with_parent(signal.SIGKILL)
    if WITH_PRODUCTS in sys.argv:
        import_module("tests.products.install").install()
    for package in PACKAGES:
        for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            if module.name not in NOT_IMPORTED:
                import_module(module.name)
    for name in ("tests.chaos.failpoints", "tests.chaos.mutants"):
        import_module(name)
    gc.freeze()
    for line in iter(_read_line, b""):
        _reap()
        request = msgspec.json.decode(line, type=ForkRequest)
        pid = os.fork()
        if pid == 0:
            _run(request)
        os.write(1, b"%d\n" % pid)


def _reap() -> None:
    """Reaps the processes that have ended; not earlier, so that the caller can open a pidfd of each."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _read_line() -> bytes:
    """Reads byte by byte, so that no buffer holds input that a fork would copy."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


def _run(request: ForkRequest) -> NoReturn:
    from api import cli
    from tests.chaos import failpoints, mutants

    status = 1
    try:
        die_with_parent(request.death_signal)
        os.setsid()
        signal.signal(
            signal.SIGINT, signal.default_int_handler
        )  # shells have their background ignore it
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(_opened(request.out), 1)
        os.dup2(_opened(request.err), 2)
        os.environ.clear()
        os.environ.update(request.env)
        mutants.apply(os.environ.pop("MUTANT", ""))
        failpoints.arm(os.environ.pop("FAILPOINTS", ""))
        sys.argv = ["tandem", *request.words]
        cli.main()
        status = 0
    except SystemExit as exited:
        status = exited.code if isinstance(exited.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        Path(f"{request.out}{STATUS}").write_text(str(status))
        os._exit(status)


def _opened(name: str) -> int:
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def die_with_parent(number: int) -> None:
    """Has the kernel send this process a signal when its parent dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


if __name__ == "__main__":
    main()
