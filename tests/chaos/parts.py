"""Store, relays, projectors and reads in this process, on stores behind proxies; tests drive their passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from api.runtime import drivers
from api.runtime.background import TRANSIENT_ERRORS
from api.settings import Settings
from domain.log.event_log import EventLog
from domain.log.relay import Relay
from domain.log.relay_log import RelayLog
from readside.projection_set import PROJECTIONS
from readside.projector.projector import Projector
from readside.queries.pubsub import PubSub
from readside.queries.reader import ReadModel
from readside.redis_functions.stream import RedisStream
from tests.chaos.convergence import as_the_log
from tests.chaos.evidence import behind, fingerprint
from tests.chaos.proxy import Proxy, proxy
from tests.domain.write_model import PARTITIONS, WriteModel
from tests.limited import limited

ARRIVES_WITHIN = 10.0
"""Seconds."""


@dataclass(frozen=True, kw_only=True)
class Wires:
    """The ways to both stores, and their own addresses."""

    postgres: Proxy
    redis: Proxy
    straight: Settings

    def settings(self, **others: Any) -> Settings:
        """Through the proxies."""
        return Settings(
            database_url=self.postgres.url,
            redis_url=self.redis.url,
            **{"partitions": PARTITIONS, **others},
        )

    def heal(self) -> None:
        self.postgres.heal()
        self.redis.heal()


@asynccontextmanager
async def wires(database_url: str, redis_url: str) -> AsyncIterator[Wires]:
    straight = Settings(database_url=database_url, redis_url=redis_url, partitions=PARTITIONS)
    async with proxy(database_url) as to_postgres, proxy(redis_url) as to_redis:
        yield Wires(postgres=to_postgres, redis=to_redis, straight=straight)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What one process may have."""

    model: WriteModel
    relay: Relay
    projectors: list[Projector]
    reads: ReadModel
    straight: Settings

    async def go(self) -> None:
        """A pass of each. Whoever finds a store away does no more in this pass."""
        await asyncio.gather(*map(weathered, [self.relay.run_once, *self._projections()]))

    async def arrive(self) -> None:
        """Passes until the log is in the read model, as it should be."""
        urls = str(self.straight.database_url), str(self.straight.redis_url)
        async with limited(ARRIVES_WITHIN):
            while await behind(*urls, PARTITIONS):
                await self.go()
        await as_the_log(self.straight)

    def _projections(self) -> list[Callable[[], Awaitable[int]]]:
        return [projector.run_once for projector in self.projectors]


async def weathered(run_once: Callable[[], Awaitable[object]]) -> None:
    """A pass, as a loop of the service does it, but without a pause."""
    with suppress(*TRANSIENT_ERRORS):
        await run_once()


@asynccontextmanager
async def parts(settings: Settings, straight: Settings) -> AsyncIterator[Parts]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        pool = await enter(drivers.database(settings))
        cursors = await enter(drivers.redis_for_relay(settings))
        functions = await enter(drivers.redis_for_functions(settings))
        streams = await enter(drivers.redis_for_streams(settings))
        reading = await enter(drivers.connection_for_reads(settings))
        listening = await enter(drivers.redis_for_pubsub(settings))
        changes = await enter(PubSub(listening, subscribe_timeout_seconds=settings.read_timeout))
        log, ours = EventLog(pool), fingerprint(PARTITIONS)
        projectors = [
            await enter(
                Projector(
                    functions,
                    streams,
                    log,
                    number,
                    partitions=PARTITIONS,
                    projections=PROJECTIONS,
                    fingerprint=ours,
                )
            )
            for number in range(PARTITIONS)
        ]
        yield Parts(
            model=WriteModel(pool),
            relay=Relay(
                RelayLog(pool), RedisStream(cursors), range(PARTITIONS), verify_interval_seconds=0.0
            ),
            projectors=projectors,
            reads=ReadModel(
                reading,
                changes,
                partitions=PARTITIONS,
                fingerprint=ours,
                version_timeout_seconds=settings.read_timeout,
            ),
            straight=straight,
        )
