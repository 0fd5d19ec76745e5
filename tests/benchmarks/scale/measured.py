"""Measures the cost curve: partitions, projectors and users in turn, each role in a process of its own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from redis.asyncio import Redis

from api.embedded import embedded_stores
from domain.ids import new_id
from domain.users.events import OrderCompleted, OrderId, OrderPlaced, UserCreated
from tests.benchmarks import cpu, history, machine, questions
from tests.benchmarks.answering import answering
from tests.benchmarks.figures import rate, summarise
from tests.benchmarks.plan import Plan
from tests.benchmarks.rebuild import rebuilt
from tests.benchmarks.scale.model import (
    API,
    EVENTS_OF_A_USER,
    POSTGRESQL,
    PROJECTOR,
    REDIS,
    RELAY,
    Cell,
)
from tests.benchmarks.services import Service
from tests.benchmarks.size import at_rest, existing_user_ids
from tests.processes import HOST, TANDEM, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import asyncpg

    from api.embedded import Stores
    from domain.users.events import UserEvent
    from tests.benchmarks.bench import Bench
    from tests.benchmarks.plan import Seen, Workload

PARTITIONS = (8, 16, 64)
PROJECTORS = (1, 2)
"""More than two would share the two cores of our machine, and say nothing about themselves."""

REST_WITHIN = 10.0
"""Seconds in which Valkey has rewritten its file, and projectors have removed what is left over."""

ALIVE = "{ __typename }"


async def scale(bench: Bench) -> None:
    for partitions in PARTITIONS:
        for users in bench.options.users:
            directory = bench.directory / f"scale-{partitions}-{users}"
            directory.mkdir()
            async with embedded_stores(directory / "data") as stores, AsyncExitStack() as stack:
                bench.found.configuration |= await machine.store_settings(stores)
                run = Run(bench, stack, directory, stores, partitions, users)
                async with history.migrated(stores.database_url, partitions) as connection:
                    async with bench.step(f"{users:,} users in {partitions} partitions"):
                        await history.write_users(connection, users, _life, partitions)
                    bench.found.cells += await run.cells(connection)


@dataclass
class Run:
    """The processes at one number of partitions and users."""

    bench: Bench
    stack: AsyncExitStack
    directory: Path
    stores: Stores
    partitions: int
    users: int
    pids: dict[str, list[int]] = field(default_factory=dict)

    async def cells(self, connection: asyncpg.Connection) -> list[Cell]:
        """One for each number of projectors."""
        programs = {"PostgreSQL": POSTGRESQL, "Valkey": REDIS}
        self.pids = {programs[one.program.name]: [one.pid] for one in self.stores.servers}
        url = f"http://{HOST}:{free_port()}"
        await self._start(API, "api", url)
        await self._start(RELAY, "relay")
        ids = await existing_user_ids(connection)
        service = Service(url=url, stores=self.stores)
        found = []
        for projectors in PROJECTORS:
            while len(self.pids.get(PROJECTOR, ())) < projectors:
                await self._start(PROJECTOR, "projector")
            found.append(await self._cell(connection, service, ids))
        return found

    async def _start(self, name: str, role: str, url: str = "") -> None:
        port = url.rpartition(":")[2] or str(free_port())
        environment = {
            "HOST": HOST,
            "PORT": port,
            "PARTITIONS": str(self.partitions),
            "DATABASE_URL": self.stores.database_url,
            "REDIS_URL": self.stores.redis_url,
        }
        log = self.directory / f"{role}-{port}.log"
        process = await self.stack.enter_async_context(
            running(TANDEM, role, env=environment, log=log)
        )
        if url:
            await answering(url, process, asked=ALIVE, log=log)
        self.pids.setdefault(name, []).append(process.pid)

    async def _cell(self, connection: asyncpg.Connection, service: Service, ids: list[str]) -> Cell:
        projectors = len(self.pids[PROJECTOR])
        name = f"{self.users:,} users, {self.partitions} partitions, {projectors} projectors"
        events = await connection.fetchval("select count(*) from events")
        users = await connection.fetchval("select count(*) from events where version = 1")
        async with self.bench.step(f"{name}: rebuild"):
            seconds = await rebuilt(service, users)
        async with self.bench.step(f"{name}: until all are at rest"):
            with suppress(TimeoutError):
                async with asyncio.timeout(REST_WITHIN):
                    await at_rest([pid for pids in self.pids.values() for pid in pids])
        size = await _used_memory(self.stores.redis_url)
        plan = Plan(
            workload="user_by_id",
            url=service.url,
            connections=self.bench.options.connections,
            seconds=self.bench.options.seconds,
            warm_up=0.0,
            request_ids=True,
            ids=ids,
            cursors=[questions.cursor(user) for user in ids],
        )
        _, user = await self._measured(f"{name}: user by id", plan, "user_by_id")
        _, page = await self._measured(f"{name}: a page", plan, "users_page")
        arriving = msgspec.structs.replace(
            plan, rate=self.bench.options.rate, seconds=2 * plan.seconds
        )
        lags, _ = await self._measured(f"{name}: lag", arriving, "visible")
        created, command = await self._measured(f"{name}: createUser", plan, "create_user")
        lag = summarise(lags.latencies["visible"])
        assert lag is not None
        return Cell(
            partitions=self.partitions,
            projectors=projectors,
            users=self.users,
            counted=users,
            events=events,
            rebuild_seconds=seconds,
            redis_bytes=size,
            user_cpu={part: user[part] for part in (API, REDIS)},
            page_cpu={part: page[part] for part in (API, REDIS)},
            command_cpu=command,
            commands_per_second=rate(created),
            lag_p50=lag.p50,
            lag_p99=lag.p99,
        )

    async def _measured(
        self, title: str, plan: Plan, workload: Workload
    ) -> tuple[Seen, dict[str, float]]:
        """What was seen, and the microseconds of each process for each answer."""
        before = self._used()
        seen = await self.bench.generate(title, msgspec.structs.replace(plan, workload=workload))
        if seen.failed:
            self.bench.found.notes.append(f"{title}: {seen.failed} failed: {seen.first_failure}")
        answers = len(seen.latencies["answer"])
        return seen, {
            name: (used - before[name]) / answers * 1e6 for name, used in self._used().items()
        }

    def _used(self) -> dict[str, float]:
        return {name: cpu.of_trees(pids) or 0.0 for name, pids in self.pids.items()}


async def _used_memory(redis_url: str) -> int:
    async with Redis.from_url(redis_url) as redis:
        return int((await redis.info("memory"))["used_memory"])


def _life(number: int) -> Iterator[UserEvent]:
    yield UserCreated(name=f"User {number:06}", email=f"user-{number:06}@example.com")
    orders = [OrderId(new_id()) for _ in range(EVENTS_OF_A_USER - 2)]
    for order_id in orders:
        yield OrderPlaced(order_id=order_id, total=1250)
    yield OrderCompleted(order_id=orders[0], total=1250)
