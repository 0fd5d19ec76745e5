"""The composition root: builds the parts of a process, connects them, and closes them in reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from api.observability.event_tracing import event_tracer
from api.observability.heartbeat import Heartbeat
from api.observability.metrics import Metrics
from api.observability.pipeline import Pipeline
from api.observability.routes import Monitoring, health_app
from api.roles import Role, namespace, read_model_fingerprint
from api.runtime import drivers, redis_address
from api.runtime.log_check import watch_log
from api.runtime.service import Service, ServiceBuilder, run_loop
from api.runtime.wake_up import WakeUp
from api.settings import Settings
from domain.log.erasures import Erasures
from domain.log.event_log import EventLog
from domain.log.relay import Relay
from domain.log.relay_log import RelayLog
from domain.write.key_retention import KeyRetention
from readside.projection_set import PROJECTIONS
from readside.projector.assignment import RENEW_INTERVAL_SECONDS, PartitionAssignment
from readside.projector.projector import Projector
from readside.queries.pubsub import PubSub
from readside.redis_connection.connection_expiry import ConnectionExpiry
from readside.redis_functions.stream import RedisStream

RELAY_POLL_SECONDS = 0.5
"""Interval at which the relay polls the event log if no wake-up arrives."""

STREAM_BLOCK_SECONDS = 1.0
"""Time that a projector waits for entries inside one read of its stream."""


@asynccontextmanager
async def compose(settings: Settings, roles: frozenset[Role]) -> AsyncIterator[Service]:
    """Yields the parts for these roles; on exit closes them, last opened first."""
    async with AsyncExitStack() as stack:
        parts = await _build_shared(settings, roles, stack)
        if Role.RELAY in roles:
            await _add_relay(parts)
            _add_upkeep(parts)
        if Role.PROJECTOR in roles:
            await _add_projectors(parts)
        if Role.API in roles:
            from api.runtime.api_role import add_api  # with the schema: other roles need none

            await add_api(parts)
        if settings.health_port is not None:
            parts.apps.append(health_app(parts.monitoring, settings.limits))
        yield parts


async def _build_shared(
    settings: Settings, roles: frozenset[Role], stack: AsyncExitStack
) -> ServiceBuilder:
    """Builds the parts of every process, with the loops that check its stores."""
    command_pool = await stack.enter_async_context(drivers.database(settings))
    pool = await stack.enter_async_context(drivers.database(settings))
    expiry = ConnectionExpiry()
    pubsub = await stack.enter_async_context(
        PubSub(
            await stack.enter_async_context(drivers.redis_for_pubsub(settings, expiry)),
            subscribe_timeout_seconds=settings.read_timeout,
            namespace=namespace(settings),
            expiry=expiry,
        )
    )
    redis = await stack.enter_async_context(drivers.redis_for_monitoring(settings, expiry))
    monitoring = Monitoring(
        pipeline=Pipeline(
            pool,
            redis,
            partitions=settings.partitions,
            fingerprint=read_model_fingerprint(settings),
            namespace=namespace(settings),
        ),
        metrics=Metrics(command_pool if Role.API in roles else pool),
        serves_clients=Role.API in roles,
    )
    return ServiceBuilder(
        loops={
            "redis address": lambda: redis_address.follow_address(settings, expiry),
            "log": lambda: watch_log(pool, redis, settings),
            "clock": monitoring.metrics.sample_loop_delay,
        },
        settings=settings,
        stack=stack,
        command_pool=command_pool,
        pool=pool,
        expiry=expiry,
        pubsub=pubsub,
        event_log=EventLog(pool),
        monitoring=monitoring,
    )


async def _add_relay(parts: ServiceBuilder) -> None:
    """Adds the relay, which appends events of the log to the streams."""
    settings = parts.settings
    wake_up = parts.relay_wake_up = WakeUp(RELAY_POLL_SECONDS)
    redis = await parts.open(drivers.redis_for_relay(settings, parts.expiry))
    relay = Relay(
        RelayLog(parts.pool),
        RedisStream(redis, parts.namespace),
        range(settings.partitions),
        on_appended=event_tracer("appended", settings),
    )
    parts.metrics.redis_clients["cursors"] = redis
    parts.metrics.relay = relay
    parts.add_loop(Role.RELAY, "relay", relay.run_once, wake_up.wait)
    parts.loops["wake-ups"] = lambda: _forward_wake_ups(
        parts.pubsub, parts.namespace.wake_channel, wake_up
    )


def _add_upkeep(parts: ServiceBuilder) -> None:
    """Adds the maintenance of PostgreSQL: erasures in the event log, retention of idempotency keys."""
    erasures = Erasures(parts.pool)
    retention = KeyRetention(parts.pool, parts.settings.idempotency_retention)
    parts.metrics.retention = retention

    async def run_once() -> bool:
        erased = await erasures.run_once()
        return await retention.run_once() or erased

    parts.add_loop(Role.RELAY, "upkeep", run_once, lambda: asyncio.sleep(RELAY_POLL_SECONDS))


async def _add_projectors(parts: ServiceBuilder) -> None:
    """Adds a projector for each partition, and the membership that assigns partitions to processes."""
    settings = parts.settings
    redis = await parts.open(drivers.redis_for_functions(settings, parts.expiry))
    streams = await parts.open(drivers.redis_for_streams(settings, parts.expiry))
    parts.metrics.redis_clients |= {"functions": redis, "streams": streams}
    assignment = PartitionAssignment(
        redis, read_model_fingerprint(settings), settings.partitions, parts.namespace
    )
    parts.stack.push_async_callback(assignment.leave)
    membership = parts.monitoring.add_heartbeat(Role.PROJECTOR, "membership")
    parts.loops["membership"] = lambda: _keep_membership(assignment, parts.pubsub, membership)
    for partition in range(settings.partitions):
        heartbeat = parts.monitoring.add_heartbeat(Role.PROJECTOR, f"projector-{partition}")
        projector = Projector(
            redis,
            streams,
            parts.event_log,
            partition,
            partitions=settings.partitions,
            projections=PROJECTIONS,
            fingerprint=read_model_fingerprint(settings),
            on_applied=event_tracer("applied", settings),
            on_progress=heartbeat.beat,
            assignment=assignment,
            namespace=parts.namespace,
        )
        parts.metrics.projectors.append(projector)
        parts.loops[heartbeat.name] = partial(_run_projector, projector, heartbeat)


async def _run_projector(projector: Projector, heartbeat: Heartbeat) -> None:
    async with projector:
        await run_loop(
            heartbeat,
            lambda: projector.run_once(wait=STREAM_BLOCK_SECONDS),
            lambda: asyncio.sleep(0),  # a pass without entries has already waited
        )


async def _keep_membership(
    assignment: PartitionAssignment, pubsub: PubSub, heartbeat: Heartbeat
) -> None:
    """Renews the membership of this process, earlier than due when another process joins or leaves."""
    async with pubsub.subscribe(assignment.channel) as subscription:
        await run_loop(
            heartbeat, assignment.run_once, lambda: subscription.wait(RENEW_INTERVAL_SECONDS)
        )


async def _forward_wake_ups(pubsub: PubSub, channel: str, wake_up: WakeUp) -> None:
    """Wakes the relay of this process when another process has committed a command."""
    async with pubsub.subscribe(channel) as subscription:
        while True:
            await subscription.wait(None)
            wake_up.notify()
