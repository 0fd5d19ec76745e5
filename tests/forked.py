"""`tandem` as real processes that start in milliseconds, because `tests.fork_server` forks them.

One fork server serves all tests of a test process, and another those with products. Both import the code of
this checkout once, so a test whose processes run other code, or that tests the console script itself, starts
them with `tests.processes.running`.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.fork_server import STATUS, WITH_PRODUCTS, ForkRequest, die_with_parent
from tests.processes import ROOT, stop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence


class Member:
    """A running process. Signals go through a pidfd, so that they never reach another process with its id."""

    def __init__(self, name: str, pid: int, log: Path) -> None:
        self.name = name
        self.pid = pid
        self.log = log
        """The file with its standard output."""
        self.expected_to_end = False
        self._pidfd = os.pidfd_open(pid)
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def send_signal(self, number: int) -> None:
        if self.running:
            with suppress(ProcessLookupError):  # it has just ended
                signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        self.expected_to_end = True
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.expected_to_end = True
        self.send_signal(signal.SIGCONT)
        self.send_signal(signal.SIGTERM)

    def pause(self) -> None:
        self.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.send_signal(signal.SIGCONT)

    async def stands_still(self) -> None:
        """Returns once the process has stopped itself at a failpoint."""
        while self.running and _state(self.pid) != "T":
            await asyncio.sleep(0.005)

    async def ended(self) -> None:
        await self._ended.wait()

    async def wait(self) -> int | None:
        """Returns `returncode` once the process has ended."""
        await self._ended.wait()
        return self.returncode

    @property
    def returncode(self) -> int | None:
        """The exit status; -9 for a process that was killed, and None for one that runs."""
        if self.running:
            return None
        with suppress(FileNotFoundError):
            return int(Path(f"{self.log}{STATUS}").read_text())
        return -signal.SIGKILL

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._ended.set()


def _state(pid: int) -> str:
    """Returns the state that the kernel has for a process: R, S, T (stopped) ..."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(") ")[2][0]


def start(
    name: str,
    words: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    *,
    err: Path | None = None,
    death_signal: int = signal.SIGKILL,
    products: bool = False,
) -> Member:
    """Starts `tandem words...` in the environment of this process and `env`; it may not be ready yet.

    Its standard error goes to `err`, or with its output to `log`. `products`: with the second aggregate.
    """
    Path(f"{log}{STATUS}").unlink(missing_ok=True)
    log.touch()
    request = ForkRequest(
        words=list(words),
        env={**os.environ, **env},
        out=str(log),
        err=str(err or log),
        death_signal=death_signal,
    )
    server = _server(products=products)
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(msgspec.json.encode(request) + b"\n")
    return Member(name, int(server.stdout.readline()), log)


@asynccontextmanager
async def running(*words: str, env: Mapping[str, str], log: Path) -> AsyncIterator[Member]:
    """Runs `tandem words...` in a session of its own; at the end sends SIGTERM, then SIGKILL."""
    member = start(words[0], words, env, log, death_signal=signal.SIGTERM)
    try:
        yield member
    finally:
        await stop(member)


@cache
def _server(*, products: bool) -> subprocess.Popen[bytes]:
    arguments = [WITH_PRODUCTS] if products else []
    server = subprocess.Popen(
        (sys.executable, "-m", "tests.fork_server", *arguments),
        cwd=ROOT,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: die_with_parent(signal.SIGKILL),
    )
    atexit.register(_stop, server)
    return server


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    server.communicate()
