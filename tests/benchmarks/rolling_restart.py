"""What clients feel while every process is replaced, one after the other, at a moderate fixed rate.

They come through a balancer, as an operator would have it: an API is taken out of it before it is told to
end, and put back when its successor answers.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

import httpx

from api.embedded import embedded_stores
from api.runtime.migrations import apply_migrations
from api.settings import Settings
from tests.benchmarks import questions
from tests.benchmarks.answering import ANSWERS_WITHIN, answering
from tests.benchmarks.figures import Figure, Row, summarise
from tests.benchmarks.plan import Tally
from tests.benchmarks.services import A_QUERY
from tests.benchmarks.wire import AnswerError, Connection, connected
from tests.processes import HOST, TANDEM, free_ports, running

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

    from tests.benchmarks.bench import Bench

RATE = 50.0
"""Customers a second: each creates a user, reads an older one, and waits until it sees the new one."""

ROLES = ("relay", "relay", "projector", "projector", "api", "api")
"""In the order in which they are replaced."""

TIMES = 3
"""How often all are replaced, so that there are answers enough for a p99."""

WITHIN = 10.0
"""Seconds in which a new user must be visible."""

BEHIND = "READ_MODEL_BEHIND"

MEASURES = {
    "createUser": "createUser",
    "read": "user by id",
    "visible": "  from createUser's answer to visible",
}


class Balancer:
    """Spreads customers over the addresses that are in service."""

    def __init__(self) -> None:
        self.serving: list[str] = []
        self._turns = itertools.count()
        self._free: dict[str, list[Connection]] = {}

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        url = self.serving[next(self._turns) % len(self.serving)]
        free = self._free.setdefault(url, [])
        while free:
            kept = free.pop()
            if not kept.closed:
                break
        else:
            kept = await connected(url)
        yield kept  # after an error it is not used again
        free.append(kept)

    def take_out(self, url: str) -> None:
        self.serving.remove(url)
        for connection in self._free.pop(url, []):
            connection.close()


class Deployment:
    """A process for each of ROLES."""

    def __init__(self, stack: AsyncExitStack, env: dict[str, str], place: Path) -> None:
        self.balancer = Balancer()
        self._stack, self._env, self._place = stack, env, place
        self._running: list[tuple[Process, str]] = []

    async def start(self, number: int) -> None:
        """Returns when it can do its work: to replace the next one before that would leave nobody."""
        port, log = free_ports(2), self._place / f"{number}.log"
        health = port + 1
        env = {**self._env, "PORT": str(port), "HEALTH_PORT": str(health)}
        process = await self._stack.enter_async_context(
            running(TANDEM, ROLES[number], env=env, log=log)
        )
        url = f"http://{HOST}:{port}"
        self._running[number:number] = [(process, url)]
        await _ready(health)
        if ROLES[number] == "api":
            await answering(url, process, asked=A_QUERY, log=log)
            self.balancer.serving.append(url)

    async def replace(self, number: int) -> None:
        process, url = self._running.pop(number)
        if ROLES[number] == "api":
            self.balancer.take_out(url)
        process.send_signal(signal.SIGTERM)
        await process.wait()
        await self.start(number)


class Customers:
    """They come at RATE, whether or not the service keeps up, and are timed from when they were due."""

    def __init__(self, balancer: Balancer) -> None:
        self.tally = Tally()
        self._balancer = balancer
        self._known: list[str] = []

    async def come(self, enough: asyncio.Event) -> None:
        due, run = time.perf_counter(), f"{time.time_ns():x}"
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                if enough.is_set():
                    return
                due += 1 / RATE
                await asyncio.sleep(due - time.perf_counter())
                group.create_task(self._serve(f"rolling-{run}-{number}", due))

    async def _serve(self, name: str, due: float) -> None:
        tally = self.tally
        try:
            async with self._balancer.connection() as connection:
                user = await questions.create_user(connection, name)
                answered = connection.answered_at
                tally.took("createUser", answered - due)
            if self._known:
                async with self._balancer.connection() as connection:
                    await questions.user(connection, self._known[-1])
                    tally.took("read", connection.answered_at - answered)
            tally.took("visible", await self._visible(user) - answered)
            self._known = [user]
        except (AnswerError, OSError) as wrong:
            tally.fail(f"{type(wrong).__name__}: {wrong}")

    async def _visible(self, user: str) -> float:
        """The service waits for the version, and says after a while that it is behind; then we ask again."""
        give_up = time.perf_counter() + WITHIN
        while True:
            async with self._balancer.connection() as connection:
                try:
                    await questions.user(connection, user, wait=True)
                except AnswerError as wrong:
                    if BEHIND not in str(wrong) or time.perf_counter() > give_up:
                        raise
                else:
                    return connection.answered_at


async def rolling_restart(bench: Bench) -> None:
    async with deployed(bench.directory / "rolling") as deployment:
        customers, enough = Customers(deployment.balancer), asyncio.Event()
        coming = asyncio.create_task(customers.come(enough))
        async with bench.step("before a rolling restart", bench.options.seconds):
            await asyncio.sleep(bench.options.warm_up)
            before = await _measured(customers, asyncio.sleep(bench.options.seconds))
        async with bench.step("rolling restart"):
            during = await _measured(customers, _roll(deployment))
        customers.tally = Tally()
        enough.set()
        await coming
    for name, title in MEASURES.items():
        bench.found.rows += [
            _row(f"{title}, before a rolling restart", name, *before),
            _row(f"{title}, in a rolling restart", name, *during),
        ]
        bench.found.figures.append(_ratio(title, before[0], during[0], name))


@asynccontextmanager
async def deployed(place: Path) -> AsyncIterator[Deployment]:
    place.mkdir()
    async with embedded_stores(place / "data") as stores, AsyncExitStack() as stack:
        urls = {"DATABASE_URL": stores.database_url, "REDIS_URL": stores.redis_url}
        await apply_migrations(
            Settings(database_url=stores.database_url, redis_url=stores.redis_url)
        )
        made = Deployment(stack, {"HOST": HOST, **urls}, place)
        for number in range(len(ROLES)):
            await made.start(number)
        yield made


async def _ready(health: int) -> None:
    # Certificates, which a client loads otherwise, would keep our customers waiting for 20 ms.
    async with asyncio.timeout(ANSWERS_WITHIN), httpx.AsyncClient(verify=False) as http:
        while True:
            with suppress(httpx.TransportError):
                if (await http.get(f"http://{HOST}:{health}/readyz")).is_success:
                    return
            await asyncio.sleep(0.05)


async def _roll(deployment: Deployment) -> None:
    for _ in range(TIMES):
        for number in range(len(ROLES)):
            await deployment.replace(number)


async def _measured(customers: Customers, meanwhile: Awaitable[None]) -> tuple[Tally, float]:
    """What those saw who came meanwhile, and how many seconds it took."""
    customers.tally = tally = Tally()
    began = time.perf_counter()
    await meanwhile
    return tally, time.perf_counter() - began


def _row(title: str, name: str, tally: Tally, seconds: float) -> Row:
    """A request that failed is counted once, with the creations."""
    found = tally.latencies.get(name, [])
    return Row(
        name=title,
        answers=len(found),
        failed=tally.failed if name == "createUser" else 0,
        first_failure=tally.first_failure if name == "createUser" else None,
        per_second=len(found) / seconds,
        latency=summarise(found),
    )


def _ratio(title: str, before: Tally, during: Tally, name: str) -> Figure:
    one, two = summarise(before.latencies[name]), summarise(during.latencies[name])
    assert one is not None
    assert two is not None
    told = f"p99 in a rolling restart, of that before: {title.strip()}"
    return Figure(name=told, value=two.p99 / one.p99, unit="x")
