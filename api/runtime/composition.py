"""The composition root: which parts there are, what each is given, and in which order they begin and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from api.auth.access import Access
from api.auth.jwks import KeySetClient
from api.auth.rate_limit import RateLimiter
from api.auth.tokens import LEEWAY_SECONDS, Tokens, shared_secret
from api.engine.documents import trusted
from api.engine.operation_type import COUNTED
from api.observability.event_tracing import follower
from api.observability.heartbeat import Heartbeat
from api.observability.metrics import ALARMING, Metrics
from api.observability.pipeline import Pipeline
from api.observability.routes import Monitoring
from api.observability.timed_store import TimedStore
from api.resolvers.context import Context
from api.roles import Role, fingerprint, namespace
from api.runtime import drivers, redis_address
from api.runtime.app import create_app, health_app
from api.runtime.background import WakeUp, run_forever
from api.runtime.log_check import watch_log
from domain.log.erasures import Erasures
from domain.log.event_log import EventLog
from domain.log.relay import Relay
from domain.log.relay_log import RelayLog
from domain.write.key_retention import KeyRetention
from domain.write.store import Store
from readside.errors import ReadModelError
from readside.projector.assignment import RENEW_INTERVAL_SECONDS, PartitionAssignment
from readside.projector.projector import Projector
from readside.queries.pubsub import PubSub
from readside.queries.reader import ReadModel
from readside.read_models import PROJECTIONS
from readside.redis_connection.connection_expiry import ConnectionExpiry
from readside.redis_connection.encoding import pack
from readside.redis_functions.keys import TANDEM, Namespace
from readside.redis_functions.stream import RedisStream

if TYPE_CHECKING:
    import asyncpg
    from redis.asyncio import Redis
    from starlette.applications import Starlette

    from api.settings import Settings
    from readside.redis_connection.connection import MultiplexedConnection

POLL_SECONDS = 0.5
"""Seconds after which the relay looks for events by itself."""

BLOCK_SECONDS = 1.0
"""Seconds that a projector waits inside one read of its stream."""


@dataclass(kw_only=True)
class Service:
    """The parts of one process: applications, and loops that run beside them."""

    apps: list[Starlette] = field(default_factory=list)
    """That of the API, if it has one, and that of HEALTH_PORT, if it is set."""
    loops: dict[str, Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=dict)


@asynccontextmanager
async def compose(settings: Settings, roles: frozenset[Role]) -> AsyncIterator[Service]:
    """The parts for these roles. Leaving it closes what they use, last opened first."""
    async with AsyncExitStack() as stack:
        # Commands have connections of their own: many that wait for a row must not keep events waiting.
        commands = await stack.enter_async_context(drivers.database(settings))
        pool = await stack.enter_async_context(drivers.database(settings))
        expiry = ConnectionExpiry()
        listening = await stack.enter_async_context(drivers.redis_for_changes(settings, expiry))
        changes = await stack.enter_async_context(
            PubSub(
                listening,
                subscribe_timeout_seconds=settings.read_timeout,
                namespace=namespace(settings),
                expiry=expiry,
            )
        )
        log = EventLog(pool)
        bell = WakeUp(POLL_SECONDS)
        service = Service()
        metrics = Metrics(commands if Role.API in roles else pool)
        watching = await stack.enter_async_context(drivers.redis_for_watching(settings, expiry))
        watch = _watch(settings, roles, pool, watching, metrics)
        service.loops["redis address"] = lambda: redis_address.follow(settings, expiry)
        service.loops["log"] = lambda: watch_log(pool, watching, settings)
        service.loops["clock"] = watch.metrics.sample
        if Role.RELAY in roles:
            cursors = await stack.enter_async_context(drivers.redis_for_cursors(settings, expiry))
            watch.metrics.clients["cursors"] = cursors
            _add_relay(service, settings, RelayLog(pool), cursors, changes, bell, watch)
            _add_upkeep(service, settings, pool, watch)
        if Role.PROJECTOR in roles:
            await _add_projectors(service, settings, log, stack, changes, watch, expiry)
        if Role.API in roles:
            link = await stack.enter_async_context(drivers.link_for_reads(settings, expiry))
            watch.metrics.link = link
            wake = bell.ring if Role.RELAY in roles else RedisWakeUp(link, namespace(settings)).ring
            context = _context(settings, commands, link, changes, wake, watch.metrics)
            app = create_app(context, await _access(settings, stack, expiry), watch)
            watch.metrics.operations.expect(COUNTED, ALARMING)
            watch.metrics.ways = app.state.executor.admission.ways
            service.apps.append(app)
        if settings.health_port is not None:
            service.apps.append(health_app(watch, settings.limits))
        yield service


def _watch(
    settings: Settings,
    roles: frozenset[Role],
    pool: asyncpg.Pool,
    redis: Redis,
    metrics: Metrics,
) -> Monitoring:
    pipeline = Pipeline(
        pool,
        redis,
        partitions=settings.partitions,
        fingerprint=fingerprint(settings),
        namespace=namespace(settings),
    )
    return Monitoring(pipeline=pipeline, metrics=metrics, answers=Role.API in roles)


def _context(
    settings: Settings,
    pool: asyncpg.Pool,
    link: MultiplexedConnection,
    changes: PubSub,
    wake: Callable[[int], None],
    metrics: Metrics,
) -> Context:
    store = Store(pool, partitions=settings.partitions, now=lambda: datetime.now(UTC), wake=wake)
    reads = ReadModel(
        link,
        changes,
        partitions=settings.partitions,
        fingerprint=fingerprint(settings),
        version_timeout_seconds=settings.read_timeout,
        namespace=namespace(settings),
    )
    return Context(
        store=TimedStore(store, metrics.commands),
        reads=reads,
        limits=settings.limits,
        http_profile=settings.http_profile,
        trusted=trusted.load(settings.trusted_documents, settings.trusted_documents_file),
        introspection=settings.shows_schema,
        measure=metrics.operations.count,
    )


async def _access(settings: Settings, stack: AsyncExitStack, expiry: ConnectionExpiry) -> Access:
    return Access(
        tokens=await _tokens(settings, stack) if settings.has_auth else None,
        origins=settings.allowed_origins or (),
        graphiql=settings.shows_schema,
        rate=await _rate(settings, stack, expiry),
        local_only=settings.local_only,
    )


async def _rate(
    settings: Settings, stack: AsyncExitStack, expiry: ConnectionExpiry
) -> RateLimiter | None:
    if settings.rate_limit is None:
        return None
    redis = await stack.enter_async_context(drivers.redis_for_rates(settings, expiry))
    burst = settings.rate_burst or 10 * settings.rate_limit
    return RateLimiter(
        redis, per_second=settings.rate_limit, burst=burst, namespace=namespace(settings)
    )


async def _tokens(settings: Settings, stack: AsyncExitStack) -> Tokens:
    if settings.auth_secret is not None:
        find = shared_secret(settings.auth_secret.get_secret_value())
    else:
        fetch = await stack.enter_async_context(drivers.issuer(settings.auth_jwks_url or ""))
        keys = KeySetClient(fetch)
        stack.push_async_callback(keys.close)
        find = keys.find
    return Tokens(
        find,
        algorithms=settings.algorithms,
        audience=settings.auth_audience,
        issuer=settings.auth_issuer,
        leeway=LEEWAY_SECONDS,
    )


def _add_relay(
    service: Service,
    settings: Settings,
    log: RelayLog,
    redis: Redis,
    changes: PubSub,
    bell: WakeUp,
    watch: Monitoring,
) -> None:
    on_appended = follower("appended", settings)
    stream = RedisStream(redis, namespace(settings))
    relay = Relay(log, stream, range(settings.partitions), on_appended=on_appended)
    pulse = watch.pulse(Role.RELAY, "relay")
    watch.metrics.relay = relay
    service.loops["relay"] = lambda: run_forever(pulse, relay.run_once, bell.wait)
    service.loops["wake-ups"] = lambda: _pass_on(changes, namespace(settings).wake_channel, bell)


def _add_upkeep(
    service: Service, settings: Settings, pool: asyncpg.Pool, watch: Monitoring
) -> None:
    """What the log and the keys need beside the relay; it uses a connection for a moment at a time."""
    erasures, retention = Erasures(pool), KeyRetention(pool, settings.idempotency_retention)
    pulse = watch.pulse(Role.RELAY, "upkeep")
    watch.metrics.retention = retention

    async def run_once() -> bool:
        blanked = await erasures.run_once()
        return await retention.run_once() or blanked

    service.loops["upkeep"] = lambda: run_forever(
        pulse, run_once, lambda: asyncio.sleep(POLL_SECONDS)
    )


async def _add_projectors(
    service: Service,
    settings: Settings,
    log: EventLog,
    stack: AsyncExitStack,
    changes: PubSub,
    watch: Monitoring,
    expiry: ConnectionExpiry,
) -> None:
    redis = await stack.enter_async_context(drivers.redis_for_functions(settings, expiry))
    streams = await stack.enter_async_context(drivers.redis_for_streams(settings, expiry))
    watch.metrics.clients |= {"functions": redis, "streams": streams}
    share = PartitionAssignment(
        redis, fingerprint(settings), settings.partitions, namespace(settings)
    )
    stack.push_async_callback(share.leave)
    joined = watch.pulse(Role.PROJECTOR, "share")
    service.loops["share"] = lambda: _share(share, changes, joined)
    for partition in range(settings.partitions):
        pulse = watch.pulse(Role.PROJECTOR, f"projector-{partition}")
        projector = Projector(
            redis,
            streams,
            log,
            partition,
            partitions=settings.partitions,
            projections=PROJECTIONS,
            fingerprint=fingerprint(settings),
            on_applied=follower("applied", settings),
            on_progress=pulse.beat,
            assignment=share,
            namespace=namespace(settings),
        )
        watch.metrics.projectors.append(projector)
        service.loops[pulse.name] = _projecting(projector, pulse)


def _projecting(projector: Projector, pulse: Heartbeat) -> Callable[[], Coroutine[Any, Any, None]]:
    async def run() -> None:
        async with projector:
            await run_forever(
                pulse,
                lambda: projector.run_once(wait=BLOCK_SECONDS),
                lambda: asyncio.sleep(0),  # a pass that finds nothing has waited already
            )

    return run


async def _share(share: PartitionAssignment, changes: PubSub, pulse: Heartbeat) -> None:
    async with changes.subscribe(share.channel) as words:
        await run_forever(pulse, share.run_once, lambda: words.wait(RENEW_INTERVAL_SECONDS))


async def _pass_on(changes: PubSub, wake: str, bell: WakeUp) -> None:
    """Commands of other processes wake our relay."""
    async with changes.subscribe(wake) as calls:
        while True:
            await calls.wait(None)
            bell.ring()


class RedisWakeUp:
    """Wakes the relays of other processes, at most once per round trip. They look by themselves anyway."""

    def __init__(self, link: MultiplexedConnection, namespace: Namespace = TANDEM) -> None:
        self._link = link
        self._command = pack(("PUBLISH", namespace.wake_channel, ""))
        self._ringing: asyncio.Future[list[Any]] | None = None
        self._again = False

    def ring(self, _partition: int) -> None:
        if self._ringing is not None:
            self._again = True
            return
        with suppress(ReadModelError):
            self._ringing = self._link.send([self._command])
            self._ringing.add_done_callback(self._rung)

    def _rung(self, rung: asyncio.Future[list[Any]]) -> None:
        rung.exception()  # whatever kept it from being heard
        self._ringing = None
        if self._again:
            self._again = False
            self.ring(0)
