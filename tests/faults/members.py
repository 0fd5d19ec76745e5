"""The processes of a cluster: started by a fork of `tests.faults.program`, killed, stopped and continued."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from tests.faults.program import Wanted, die_with_parent
from tests.processes import ROOT

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path


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

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._ended.set()


def _state(pid: int) -> str:
    """As the kernel has it: R, S, T (stopped) ..."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(") ")[2][0]


class Programs:
    """Starts members. One fork at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    async def start(self, name: str, words: list[str], env: dict[str, str], log: Path) -> Member:
        wanted = Wanted(words=words, env=env, log=str(log))
        async with self._turn:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(msgspec.json.encode(wanted) + b"\n")
            return Member(name, int(await self._process.stdout.readline()), log)


@asynccontextmanager
async def programs() -> AsyncIterator[Programs]:
    """On the way out whatever it has started is killed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.program"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent,
    )
    try:
        yield Programs(process)
    finally:
        process.kill()
        await process.wait()
