"""The parts of one process under construction, to which each role adds its own."""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg
from starlette.applications import Starlette

from api.observability.heartbeat import Heartbeat
from api.observability.metrics import Metrics
from api.observability.routes import Monitoring
from api.roles import Role, namespace
from api.runtime.background import RunOnce, run_forever
from api.runtime.wake_up import WakeUp
from api.settings import Settings
from domain.log.event_log import EventLog
from readside.queries.pubsub import PubSub
from readside.redis_connection.connection_expiry import ConnectionExpiry
from readside.redis_functions.keys import Namespace

T = TypeVar("T")


@dataclass(kw_only=True)
class Service:
    """The parts of one process: its web applications and its background loops."""

    apps: list[Starlette] = field(default_factory=list)
    """The API, if the process has this role, then the health checks, if HEALTH_PORT is set."""
    loops: dict[str, Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=dict)


@dataclass(kw_only=True)
class ServiceBuilder(Service):
    """The service under construction, with the parts that several roles use."""

    settings: Settings
    stack: AsyncExitStack
    command_pool: asyncpg.Pool
    """Separate from `pool`, so that commands that wait for a row lock do not delay events."""
    pool: asyncpg.Pool
    expiry: ConnectionExpiry
    pubsub: PubSub
    event_log: EventLog
    monitoring: Monitoring
    relay_wake_up: WakeUp | None = None
    """Wakes the relay of this process, if it has one."""

    @property
    def metrics(self) -> Metrics:
        return self.monitoring.metrics

    @property
    def namespace(self) -> Namespace:
        return namespace(self.settings)

    async def open(self, resource: AbstractAsyncContextManager[T]) -> T:
        return await self.stack.enter_async_context(resource)

    def add_loop(
        self, role: Role, name: str, run_once: RunOnce, idle: Callable[[], Awaitable[object]]
    ) -> None:
        heartbeat = self.monitoring.add_heartbeat(role, name)
        self.loops[name] = lambda: run_loop(heartbeat, run_once, idle)


async def run_loop(
    heartbeat: Heartbeat, run_once: RunOnce, idle: Callable[[], Awaitable[object]]
) -> None:
    """Runs passes indefinitely, and records them in the heartbeat. Raises LoopFailed."""
    await run_forever(
        heartbeat.name, run_once, idle, on_beat=heartbeat.beat, on_outage=heartbeat.set_outage
    )
