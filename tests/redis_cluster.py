"""A Redis Cluster of real servers, three primaries with a replica each, which tests can kill and extend."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from redis.asyncio import Redis
from redis.asyncio import RedisCluster as ClusterClient
from redis.exceptions import RedisError

from api.embedded.valkey import binary
from readside.redis_connection.cluster import SLOTS
from tests.limited import limited
from tests.processes import HOST, lasting_port, running
from tests.stores import fast_temp

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

PRIMARIES = 3
OPTIONS = {
    "bind": HOST,
    "cluster-enabled": "yes",
    "cluster-node-timeout": "800",
    "cluster-require-full-coverage": "no",
    "cluster-replica-validity-factor": "0",
    "cluster-allow-replica-migration": "no",
    "repl-diskless-sync-delay": "0",
    "maxmemory-policy": "noeviction",
    "save": "",
    "appendonly": "no",
}


_PORTS: dict[int, int] = {}
"""The port of each node, by the one that it announces to clients."""


def client_of_cluster(url: str) -> Redis:
    """A client past the proxies; it decodes replies."""
    [host, port] = url.partition("://")[2].partition(",")[0].split(":")
    client: Any = ClusterClient(
        host=host,
        port=int(port),
        decode_responses=True,
        address_remap=lambda address: (address[0], _PORTS.get(address[1], address[1])),
    )
    return cast("Redis", client)


class ClusterNode:
    """A server of the cluster."""

    def __init__(self, place: Path, *, behind_proxy: bool = False) -> None:
        self.place = place
        self.port = lasting_port()
        self.bus_port = lasting_port()
        self.client_port = lasting_port() if behind_proxy else self.port
        """The port that it announces to clients."""
        _PORTS[self.client_port] = self.port
        self.redis = Redis(host=HOST, port=self.port, decode_responses=True)
        self.id = ""
        self._stack = AsyncExitStack()
        self.process: Process | None = None

    async def start(self) -> None:
        """Returns when it replies."""
        self.place.mkdir(exist_ok=True)
        own = {"port": self.port, "cluster-port": self.bus_port, "dir": self.place}
        if self.client_port != self.port:
            own["cluster-announce-client-port"] = self.client_port
        options = [
            part for name, value in {**OPTIONS, **own}.items() for part in (f"--{name}", value)
        ]
        command = running(binary(), *map(str, options), log=self.place / "log")
        self.process = await self._stack.enter_async_context(command)
        async with limited(10):
            while not await self._replies():
                await asyncio.sleep(0.01)
        self.id = await self.command("CLUSTER MYID")

    async def kill(self) -> None:
        """Ends it with SIGKILL; what it had in memory is lost."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()
        await self.close()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    async def close(self) -> None:
        await self.redis.aclose()
        await self._stack.aclose()

    async def command(self, *words: Any) -> Any:
        return await self.redis.execute_command(*words)  # type: ignore[no-untyped-call]

    async def info(self) -> dict[str, str]:
        """Returns its view of the cluster."""
        found: Any = await self.command("CLUSTER INFO")
        return (
            dict(found)
            if isinstance(found, dict)
            else dict(line.split(":", 1) for line in found.split("\r\n") if ":" in line)
        )

    async def is_primary(self) -> bool:
        """Returns whether it is one by its own view."""
        return bool((await self.redis.info("replication"))["role"] == "master")

    async def _replies(self) -> bool:
        try:
            return bool(await self.redis.ping())
        except (RedisError, OSError):
            return False


class RedisCluster:
    """The cluster: the first nodes are the primaries, each with a third of the slots, the others replicas."""

    def __init__(self, place: Path, *, behind_proxy: bool = False) -> None:
        self._place = place
        self._behind_proxy = behind_proxy
        self._numbers = count()
        self.nodes = [self._new_node() for _ in range(2 * PRIMARIES)]

    def _new_node(self) -> ClusterNode:
        place = self._place / str(next(self._numbers))
        return ClusterNode(place, behind_proxy=self._behind_proxy)

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{node.port}" for node in self.nodes[:PRIMARIES])
        return f"redis://{hosts}/?cluster=true"

    @property
    def url_for_clients(self) -> str:
        """Through the proxies."""
        hosts = ",".join(f"{HOST}:{node.client_port}" for node in self.nodes[:PRIMARIES])
        return f"redis://{hosts}/?cluster=true"

    @property
    def primaries(self) -> list[ClusterNode]:
        return self.nodes[:PRIMARIES]

    def node_of(self, slot: int) -> ClusterNode:
        """Returns the primary that has this slot in the beginning."""
        return self.nodes[slot * PRIMARIES // SLOTS]

    async def owners(self, node: ClusterNode | None = None) -> dict[tuple[int, int], ClusterNode]:
        """Returns the primary of each range of slots, as this node sees it, or the first one."""
        found: Any = await (node or self.nodes[0]).command("CLUSTER SLOTS")
        by_port = {node.client_port: node for node in self.nodes}
        return {(first, last): by_port[primary[1]] for first, last, primary, *_ in sorted(found)}

    async def owner(self, slot: int) -> ClusterNode:
        """Returns the primary that has this slot now."""
        ranges = (await self.owners()).items()
        return next(node for (first, last), node in ranges if first <= slot <= last)

    async def move_keys(self, slot: int, to: ClusterNode, *keys: str, pause: float = 0.0) -> None:
        """Moves these keys of a slot, or all there are, one after another; the slot is in between then."""
        source = await self.owner(slot)
        await to.command("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        await source.command("CLUSTER SETSLOT", slot, "MIGRATING", to.id)
        while names := keys or await source.command("CLUSTER GETKEYSINSLOT", slot, 10):
            for name in names:
                await source.command("MIGRATE", HOST, to.port, name, 0, 5000)
                await asyncio.sleep(pause)
            if keys:
                return

    async def finish_move(self, slot: int, to: ClusterNode) -> None:
        """Moves the rest of the slot and gives it to its new owner."""
        source = await self.owner(slot)
        await self.move_keys(slot, to)
        for node in (to, source):
            await node.command("CLUSTER SETSLOT", slot, "NODE", to.id)

    async def move_at_once(self, slot: int, to: ClusterNode) -> None:
        """Moves a slot by the atomic migration of Valkey 9."""
        source = await self.owner(slot)
        await source.command("CLUSTER MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", to.id)
        async with limited(20):
            while await self.owner(slot) is not to:
                await asyncio.sleep(0.02)

    def replica_of(self, node: ClusterNode) -> ClusterNode:
        return self.nodes[self.nodes.index(node) + PRIMARIES]

    async def start(self) -> None:
        await asyncio.gather(*(node.start() for node in self.nodes))
        first = self.nodes[0]
        bounds = [-(-SLOTS * number // PRIMARIES) for number in range(PRIMARIES + 1)]
        for number, node in enumerate(self.nodes):
            await node.command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            if number < PRIMARIES:
                await node.command("CLUSTER ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        await self._meet(first, self.nodes[1:])
        for node in self.primaries:
            await self.replica_of(node).command("CLUSTER REPLICATE", node.id)
        await self.settled()

    async def _meet(self, first: ClusterNode, others: list[ClusterNode]) -> None:
        for node in others:
            await first.command("CLUSTER MEET", HOST, node.port, node.bus_port)
        number = str(len({*others, *self.nodes}))
        async with limited(20):
            while any(
                [(await node.info())["cluster_known_nodes"] != number for node in self.nodes]
            ):
                await asyncio.sleep(0.02)

    async def settled(self) -> None:
        """Waits until every running node sees all slots served, and every replica has its primary's data."""
        async with limited(30):
            while not (
                all([await self._is_settled(node) for node in self.nodes])
                and len({str(await self.owners(node)) for node in self.nodes}) == 1
            ):
                await asyncio.sleep(0.02)

    async def _is_settled(self, node: ClusterNode) -> bool:
        info, replication = await node.info(), await node.redis.info("replication")
        linked = replication["role"] == "master" or replication["master_link_status"] == "up"
        return linked and info["cluster_state"] == "ok" and info["cluster_slots_ok"] == str(SLOTS)

    async def add(self) -> ClusterNode:
        """Adds an empty primary without slots."""
        node = self._new_node()
        await node.start()
        self.nodes.append(node)
        await self._meet(self.nodes[0], [node])
        return node

    async def remove(self, node: ClusterNode) -> None:
        """Removes a node without slots, as an operator does."""
        self.nodes.remove(node)
        for other in self.nodes:
            await other.command("CLUSTER FORGET", node.id)
        await node.kill()

    async def empty(self) -> None:
        """Removes all keys and functions."""
        for node in self.primaries:
            await node.redis.flushall()
            await node.command("FUNCTION FLUSH")

    async def close(self) -> None:
        await asyncio.gather(*(node.close() for node in self.nodes))


@asynccontextmanager
async def redis_cluster(*, behind_proxy: bool = False) -> AsyncIterator[RedisCluster]:
    """Yields a running cluster."""
    with tempfile.TemporaryDirectory(prefix="tandem-cluster-", dir=fast_temp()) as place:
        cluster = RedisCluster(Path(place), behind_proxy=behind_proxy)
        try:
            await cluster.start()
            yield cluster
        finally:
            await cluster.close()


@pytest.fixture
async def cluster() -> AsyncIterator[RedisCluster]:
    async with redis_cluster() as cluster:
        yield cluster
