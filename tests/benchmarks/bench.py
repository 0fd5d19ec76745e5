"""What every scenario is handed: the options, the load generator, the place to report."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.benchmarks import questions
from tests.benchmarks.answering import ProcessError
from tests.benchmarks.plan import Plan, Seen, Watched, WatchPlan, Workload
from tests.benchmarks.wire import connections
from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.benchmarks.figures import Found
    from tests.benchmarks.services import Service
    from tests.benchmarks.wire import Connection

T = TypeVar("T")

SEEDED = 1000  # users that are read; 50 pages of them
SEEDING = 8  # connections


@dataclass(frozen=True, kw_only=True)
class Options:
    """Times in seconds, `rate` in mutations a second."""

    seconds: float
    connections: int
    rounds: int
    rate: float
    warm_up: float
    quick: bool = False
    users: tuple[int, ...] = ()
    """How many the cost curve is measured with."""
    against: tuple[str, ...] = ()
    """How the names of the peers begin that are wanted; empty for all."""


def _display() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), auto_refresh=False)  # Bench draws


@dataclass(kw_only=True)
class Bench:
    options: Options
    found: Found
    progress: Progress = field(default_factory=_display)
    directory: Path = field(default_factory=Path)
    users: list[questions.User] = field(default_factory=list)
    cursors: list[str | None] = field(default_factory=list)

    @contextmanager
    def working(self) -> Iterator[None]:
        """A directory for everything that the run writes, and the progress display."""
        with tempfile.TemporaryDirectory(prefix="tandem-bench-") as directory, self.progress:
            self.directory = Path(directory)
            yield

    async def seed(self, service: Service) -> None:
        """Creates the users that the read scenarios ask for, and waits until each is visible."""
        async with self.step("seed"), connections(service.url, SEEDING) as opened:
            run = f"{time.time_ns():x}"
            shares = [_seed_share(c, run, range(n, SEEDED, SEEDING)) for n, c in enumerate(opened)]
            self.users = [user for share in await asyncio.gather(*shares) for user in share]
            self.cursors, after = [], None
            for _ in range(SEEDED // questions.PAGE_SIZE):
                self.cursors.append(after)
                after = (await questions.page(opened[0], after)).page_info.end_cursor

    async def measure(
        self, title: str, workload: Workload, service: Service, *, rate: float = 0.0
    ) -> Seen:
        """Runs one measurement of the users that were seeded."""
        plan = Plan(
            workload=workload,
            url=service.url,
            connections=self.options.connections,
            seconds=self.options.seconds,
            warm_up=self.options.warm_up,
            rate=rate,
            ids=[user.id for user in self.users],
            cursors=self.cursors,
            service=list(service.pids),
            stores=list(service.store_pids),
        )
        return await self.generate(title, plan)

    async def generate(self, title: str, plan: Plan) -> Seen:
        """Carries a plan out in a process of its own and shows how far it is."""
        async with self.step(title, plan.warm_up + plan.seconds):
            return await _generate("load", plan, Seen, self.directory / "seen.json")

    async def watch(self, title: str, plan: WatchPlan) -> Watched:
        """The same for subscriptions."""
        async with self.step(title):
            return await _generate("watching", plan, Watched, self.directory / "seen.json")

    @asynccontextmanager
    async def step(self, title: str, seconds: float | None = None) -> AsyncIterator[None]:
        """A line of the progress display, for as long as the block runs."""
        line = self.progress.add_task(title, total=seconds)
        moving = asyncio.create_task(self._move(line))
        try:
            yield
        finally:
            moving.cancel()
            self.progress.update(line, total=1, completed=1)
            self.progress.refresh()

    async def _move(self, line: int) -> None:
        began = time.perf_counter()
        while True:
            self.progress.tasks[line].completed = time.perf_counter() - began
            self.progress.refresh()
            await asyncio.sleep(0.5)  # drawing costs CPU that the service could use


async def _seed_share(connection: Connection, run: str, numbers: range) -> list[questions.User]:
    ids = [await questions.create_user(connection, f"seed-{run}-{number}") for number in numbers]
    return [await questions.user(connection, user_id, wait=True) for user_id in ids]


async def _generate(module: str, plan: Plan | WatchPlan, expected: type[T], file: Path) -> T:
    """What was seen comes in a file: the end of what is in a pipe can be lost when its writer exits."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.benchmarks.{module}", str(file)),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, complaint = await process.communicate(msgspec.json.encode(plan))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ProcessError(f"the load generator stopped: {complaint.decode()[-2000:].strip()}")
    return msgspec.json.decode(file.read_bytes(), type=expected)
