"""A whole Tandem that may be hurt: an API, two relays, two projectors, each a process, on stores of its own.

It has two aggregates, users and products. Every process reaches PostgreSQL and Redis through a wire that can
be cut. A process that is killed is started again by the code that killed it; one that ends by itself is found
out when the cluster is left.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from tests import forked
from tests.chaos import replica, standby
from tests.chaos.evidence import client_at, namespace_at
from tests.chaos.proxy import proxy, proxy_of_nodes
from tests.chaos.stores import postgres, valkey
from tests.limited import limited
from tests.processes import HOST, lasting_port
from tests.products.install import create_tables
from tests.redis_cluster import RedisCluster, redis_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from redis.asyncio import Redis

    from readside.redis_functions.keys import Namespace
    from tests.chaos.proxy import Proxy
    from tests.chaos.restore_rules import Restored
    from tests.chaos.stores import Postgres, Valkey
    from tests.forked import Member

PARTITIONS = 4

VERBS = {
    "api": "api",
    "relay-1": "relay",
    "relay-2": "relay",
    "projector-1": "projector",
    "projector-2": "projector",
}
"""The names of the processes, and the verb of each."""

STARTS_WITHIN = 30.0


class Cluster:
    """What a test or a schedule may do to it is all here and in its parts."""

    def __init__(
        self,
        place: Path,
        stores: tuple[Postgres, Valkey | RedisCluster],
        wires: tuple[Proxy, Proxy],
        environment: dict[str, str],
        stack: AsyncExitStack,
    ) -> None:
        self.postgres, self._redis = stores
        self._stack = stack
        self._servers = count()
        self.to_postgres, self.to_redis = wires
        self.members: dict[str, Member] = {}
        self.port = lasting_port()
        self.place = place
        self.restores: list[Restored] = []
        self._environment = {
            "HOST": HOST,
            "PORT": str(self.port),
            "DATABASE_URL": self.to_postgres.url,
            "REDIS_URL": self.to_redis.url,
            "PARTITIONS": str(PARTITIONS),
            "LOG_FORMAT": "json",
            "READ_TIMEOUT": "1.0",
            "COMMAND_TIMEOUT": "5.0",
            "SHUTDOWN_TIMEOUT": "2.0",
            **environment,
        }

    @property
    def valkey(self) -> Valkey:
        """The one Redis of a cluster that has one."""
        assert not isinstance(self._redis, RedisCluster)
        return self._redis

    @property
    def nodes(self) -> RedisCluster:
        """The nodes where Redis is a cluster itself."""
        assert isinstance(self._redis, RedisCluster)
        return self._redis

    @property
    def has_nodes(self) -> bool:
        return isinstance(self._redis, RedisCluster)

    @property
    def redis_url(self) -> str:
        """Past the wire."""
        return self._redis.url

    @property
    def namespace(self) -> Namespace:
        return namespace_at(self.redis_url)

    def start(self, name: str, failpoints: str = "") -> Member:
        """Starts the process of this name, with these failpoints armed; it may not answer yet."""
        member = self.members.get(name)
        assert member is None or not member.running, f"{name} runs already"
        self.members[name] = self.run(name, VERBS[name], FAILPOINTS=failpoints)
        return self.members[name]

    def run(self, name: str, verb: str, **environment: str) -> Member:
        """Starts a process that is no member: its end is the caller's business, as is what it logs."""
        env, log = {**self._environment, **environment}, self.place / f"{name}.log"
        return forked.start(name, [verb], env, log, products=True)

    async def kill(self, name: str) -> None:
        """SIGKILL; returns when it is gone."""
        self.members[name].kill()
        await self.members[name].ended()

    async def restart(self, name: str, failpoints: str = "") -> None:
        await self.kill(name)
        self.start(name, failpoints)

    def replace_ended(self) -> None:
        """Starts what a failpoint has killed."""
        for name, member in list(self.members.items()):
            if not member.running:
                self.start(name)

    async def fail_over_redis(self) -> Valkey:
        """To a new server behind the same address, without a loss. The old one lives on, and is returned."""
        old, name = self.valkey, f"v{next(self._servers)}"
        new = await self._stack.enter_async_context(
            valkey(self.place / name, appendonly=old.appendonly)
        )
        await replica.follow(old, new)
        await replica.fail_over(old, new)
        self._redis = new
        self.to_redis.lead_to(new.url)
        return old

    async def fail_over_postgres(self) -> Postgres:
        """The same for PostgreSQL, whose old server is fenced."""
        old, name = self.postgres, f"p{next(self._servers)}"
        new = await self._stack.enter_async_context(standby.standby_of(old, name))
        await standby.fail_over(old, new)
        self.postgres = new
        self.to_postgres.lead_to(new.url)
        return old

    def mend(self) -> None:
        """Everybody runs and every wire carries."""
        self.heal()
        self.replace_ended()

    async def answers(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Returns once the API takes connections; `meanwhile` is called between two looks."""
        async with limited(STARTS_WITHIN):
            while True:
                try:
                    _, writer = await asyncio.open_connection(HOST, self.port)
                except OSError:
                    await asyncio.sleep(0.01)
                    meanwhile()
                else:
                    writer.close()
                    return

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection past the wire."""
        connection = await asyncpg.connect(self.postgres.url)
        try:
            yield connection
        finally:
            connection.terminate()

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[Redis]:
        """A client past the wire; it decodes replies."""
        async with client_at(self.redis_url) as redis:
            yield redis

    def heal(self) -> None:
        """Everybody runs and every wire carries, but for what was killed."""
        for member in self.members.values():
            member.resume()
        for wire in (self.to_postgres, self.to_redis):
            wire.heal()

    def complaints(self) -> list[str]:
        """What no process should ever have said, or done."""
        found = [
            f"{member.name} ended by itself, its log is {member.log}"
            for member in self.members.values()
            if not member.running and not member.expected_to_end
        ]
        for log in sorted(self.place.glob("*.log")):
            if log.stem in VERBS:
                found += [f"{log.stem}: {line}" for line in _unexpected(log)]
        return found


def _unexpected(log: Path) -> list[str]:
    """Lines that are no JSON (a traceback, the sentence of a process that gave up), and errors."""
    found = []
    for line in log.read_text(errors="replace").splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            found.append(line)
            continue
        if said.get("level") in {"error", "critical"}:
            found.append(line)
    return found


@asynccontextmanager
async def cluster(
    place: Path,
    template: Path,
    *,
    names: tuple[str, ...] = tuple(VERBS),
    appendonly: bool = True,
    nodes: bool = False,
    failpoints: dict[str, str] | None = None,
    **environment: str,
) -> AsyncIterator[Cluster]:
    """A running cluster below `place`; `template` is a migrated data directory, see stores.made_template.

    `failpoints` are armed in the first start of the processes named. With `nodes` Redis is a cluster.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(postgres(place / "p", template=template))
        redis: Valkey | RedisCluster
        if nodes:
            redis = await stack.enter_async_context(redis_cluster(behind_proxy=True))
            to_redis = await stack.enter_async_context(proxy_of_nodes(redis))
        else:
            redis = await stack.enter_async_context(valkey(place / "v", appendonly=appendonly))
            to_redis = await stack.enter_async_context(proxy(redis.url))
        wires = await stack.enter_async_context(proxy(database.url)), to_redis
        made = Cluster(place, (database, redis), wires, environment, stack)
        async with made.database() as connection:
            await create_tables(connection)
        try:
            for name in names:
                made.start(name, (failpoints or {}).get(name, ""))
            if "api" in names:
                await made.answers()
            yield made
        finally:
            for member in made.members.values():
                if member.running:
                    member.kill()
            for member in made.members.values():
                await member.ended()
