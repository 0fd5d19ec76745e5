"""The processes of a cluster: started by a fork of `tests.chaos.program`, killed, stopped and continued."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.chaos.program import STATUS, Wanted, die_with_parent
from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


class Member:
    """A running process. Its number cannot come to mean another: signals go through a pidfd."""

    def __init__(self, name: str, pid: int, log: Path) -> None:
        self.name = name
        self.pid = pid
        self.log = log
        self.expected_to_end = False
        self._pidfd = os.pidfd_open(pid)
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def send(self, number: signal.Signals) -> None:
        if self.running:
            with suppress(ProcessLookupError):  # it has just ended, and nobody has told us yet
                signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        self.expected_to_end = True
        self.send(signal.SIGKILL)

    def terminate(self) -> None:
        self.expected_to_end = True
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)

    def pause(self) -> None:
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    async def stands_still(self) -> None:
        """Returns once the process has stopped itself at a failpoint."""
        while self.running and _state(self.pid) != "T":
            await asyncio.sleep(0.005)

    async def ended(self) -> None:
        await self._ended.wait()

    @property
    def status(self) -> int:
        """The exit status of a process that has ended by itself."""
        return int(Path(f"{self.log}{STATUS}").read_text())

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._ended.set()


def _state(pid: int) -> str:
    """As the kernel has it: R, S, T (stopped) ..."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(") ")[2][0]


class Programs:
    """Starts members. It belongs to no event loop, so that many tests can share it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def start(self, name: str, words: list[str], env: dict[str, str], log: Path) -> Member:
        """Answers when the process is there, which takes milliseconds; it may not answer yet."""
        wanted = Wanted(words=words, env=env, log=str(log))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(wanted) + b"\n")
        return Member(name, int(self._process.stdout.readline()), log)


@contextmanager
def programs() -> Iterator[Programs]:
    """On the way out whatever it has started is killed."""
    with subprocess.Popen(
        (sys.executable, "-m", "tests.chaos.program"),
        cwd=ROOT,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=die_with_parent,
    ) as process:
        try:
            yield Programs(process)
        finally:
            process.kill()
