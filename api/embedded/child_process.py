"""Starts the program of a store as a child in a session of its own, and ends it again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from api.embedded.child import CANNOT_REACH
from api.embedded.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from api.embedded.data_directory import Directory

CHILD = Path(__file__).with_name("child.py")
LONGEST_LOG = 10_000_000
NEEDED = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""The variables that a store gets from this process: to find programs, libraries and room."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program of a store: what to run, where, as whom, and how it is told to end."""

    name: str
    command: tuple[str, ...]
    data: Directory
    folder: str
    """The program's directory in the data directory."""
    log_file: str
    death_signal: signal.Signals
    """What it gets when this process dies: one that cannot be put off, since nobody is left."""
    stops: tuple[tuple[signal.Signals, float], ...]
    """Signals to end it and the seconds each is given before the next."""
    identity: str

    @property
    def directory(self) -> Path:
        return self.data.path / self.folder

    @property
    def log(self) -> Path:
        return self.data.path / self.log_file


class Server:
    """A running program. A dead one is noticed through `exited`, never restarted."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process) -> None:
        self.program = program
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def exited(self) -> int:
        return await self._process.wait()

    async def stop(self) -> None:
        for number, seconds in self.program.stops:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._process.wait()
                return


async def spawn(program: Program, *, held: int) -> Server:
    """`held` is the descriptor of the lock that lives as long as any process of the stores.

    The thread that calls this must live as long as the stores: Linux sends the parent-death signal
    when the *thread* that started a child ends.
    """
    with opened_log(program.data, program.log_file) as log:
        process = await asyncio.create_subprocess_exec(
            *child_command(
                *program.command,
                death_signal=program.death_signal,
                identity=program.identity,
                directory=program.directory,
            ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(held,),
            env=environment(),
        )
    return Server(program, process)


async def run_to_end(program: Program, *, held: int, seconds: float) -> None:
    """Run a program that ends by itself; raise when it fails or takes longer."""
    server = await spawn(program, held=held)
    try:
        async with asyncio.timeout(seconds):
            code = await server.exited()
    except TimeoutError:
        raise EmbeddedError(
            f"{program.name} was not done within {seconds:.0f} s; its log is {program.log}."
        ) from None
    finally:
        if server.running:
            await server.stop()
    if code != 0:
        raise failure(program, code)


def failure(program: Program, code: int) -> EmbeddedError:
    if code == CANNOT_REACH:
        return EmbeddedError(
            f"{program.name} runs without root's rights and cannot reach {program.directory} or"
            f" {program.command[0]}: put both where every user may enter, or start Tandem as an"
            " unprivileged user."
        )
    return EmbeddedError(
        f"{program.name} did not start ({last_complaint(program)}); its log is {program.log}."
    )


def last_complaint(program: Program) -> str:
    """The line of a log that most likely says why."""
    text = program.data.read(program.log_file) or ""
    lines = [_printable(line.strip()) for line in text.splitlines() if line.strip()]
    marks = ("FATAL", "PANIC", "error", "Fatal")
    blamed = [line for line in lines[-30:] if any(mark in line for mark in marks)]
    return (blamed or lines or ["it said nothing"])[-1].rstrip(".")


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in line)


def child_command(
    *command: str,
    death_signal: int = signal.SIGKILL,
    identity: str,
    directory: Path | str = "/",
) -> Sequence[str]:
    wrapper = (sys.executable, "-I", "-S", str(CHILD))
    return (
        *wrapper,
        str(os.getpid()),
        str(int(death_signal)),
        identity,
        str(directory),
        "--",
        *command,
    )


def environment() -> dict[str, str]:
    """Returns what a store needs, in a language the logs are read in.

    Nothing else is passed on: what runs the stores needs no secret of this process, and variables
    of PostgreSQL or of a loader would change what they do.
    """
    kept = {name: os.environ[name] for name in NEEDED if name in os.environ}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


@contextmanager
def opened_log(data: Directory, name: str) -> Iterator[int]:
    """For its owner only: a server's complaint can quote what it was asked to store."""
    with data.opened(name, os.O_WRONLY | os.O_APPEND) as log:
        too_long = os.fstat(log).st_size > LONGEST_LOG
        if not too_long:
            yield log
    if too_long:
        data.rename(name, f"{name}.old")
        with data.opened(name, os.O_WRONLY | os.O_APPEND) as log:
            yield log
