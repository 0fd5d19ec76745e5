"""A redis-py client of a cluster: a client for each node, and the choice of the node for each command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio.client import Pipeline, PubSub
from redis.exceptions import AskError, ClusterDownError, RedisError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as Disconnected

from readside.errors import UNREACHABLE, ReadModelError
from readside.redis_connection.client import Client
from readside.redis_connection.cluster import ANY_NODE_SECONDS, Node, SlotMap, slot_of

_WITHOUT_KEY: Final = {"INFO", "TIME", "HELLO", "CONFIG GET", "PING", "PUBLISH", "CLUSTER INFO"}
"""Commands without a key: the first primary that can be reached executes them."""


class ClusterClient(Client):
    """Sends each command to the node that owns the slot of its key, and FUNCTION LOAD to every primary.

    An error that only says that no node can execute a command now is raised as the loss of a connection is:
    a caller that reads an error of the command itself takes a stream, for example, as missing.
    """

    is_cluster = True

    def __init__(
        self, slots: SlotMap, create: Callable[[Node], Client], *, patience_seconds: float
    ) -> None:
        """`patience_seconds`: how long a command is repeated while its keys are being moved."""
        self._create = create
        self._clients: dict[Node, Client] = {}
        self._slots = slots
        slots.on_left = self._close_client
        self._slow_node: Node | None = None
        self._patience_seconds = patience_seconds
        super().__init__(connection_pool=create(slots.any_node()).connection_pool)

    @property
    def busy(self) -> int:
        return sum(client.busy for client in self._clients.values())

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        for client in self._clients.values():
            await client.aclose()
        await self._slots.close()  # last, because requests that fail refresh them

    async def primaries(self) -> list[Client]:
        """Returns the clients of the nodes that own slots. Raises redis-py's ConnectionError."""
        await asyncio.shield(self._slots.refresh())
        if not (nodes := self._slots.primaries):
            raise self._no_node()
        return [self._client(node) for node in nodes]

    def keys_by_primary(self, keys: Sequence[str]) -> list[int]:
        """Returns how many of these keys each primary has, as of the last refresh."""
        owners = [self._slots.known_owner(slot_of(key)) for key in keys]
        return [owners.count(node) for node in self._slots.primaries]

    async def execute_command(self, *words: Any, **options: Any) -> Any:
        if words[0] == "FUNCTION LOAD":
            return await self._on_every_primary(*words, **options)
        if words[0] == "INFO" and "memory" in words:  # of the primary that needs attention most
            return max(await self._on_every_primary(*words, **options), key=_need)
        if words[0] in _WITHOUT_KEY:
            return await self._on_any_primary(*words, **options)

        async def attempt(node: Node, asking: bool) -> Any:
            client = self._client(node)
            try:
                if asking:
                    return await client.execute_asking(*words, **options)
                return await client.execute_command(*words, **options)
            except (AskError, TryAgainError, ClusterDownError) as error:
                return error

        try:
            reply = await self._slots.execute(
                _slot(words), attempt, patience_seconds=self._patience_seconds
            )
        except ReadModelError as error:
            raise self._no_node() from error
        if isinstance(reply, Exception):
            raise Disconnected(
                f"Redis Cluster cannot execute it now ({type(reply).__name__}: {reply})"
            )
        return reply

    async def _on_every_primary(self, *words: Any, **options: Any) -> list[Any]:
        """Returns the replies of the primaries that execute it; raises an error if none does."""
        clients = await self.primaries()
        calls = (client.execute_command(*words, **options) for client in clients)
        replies = await asyncio.gather(*calls, return_exceptions=True)
        errors = [reply for reply in replies if isinstance(reply, BaseException)]
        if len(errors) == len(replies):
            refusals = [error for error in errors if isinstance(error, ResponseError)]
            raise (refusals or errors)[0]
        return [reply for reply in replies if not isinstance(reply, BaseException)]

    async def _on_any_primary(self, *words: Any, **options: Any) -> Any:
        """Returns the reply of the first primary that can be reached; raises the error of the last one."""
        if not self._slots.primaries:
            await asyncio.shield(self._slots.refresh())
        error: Exception = self._no_node()
        nodes = sorted(self._slots.primaries, key=lambda node: node == self._slow_node)
        for node in nodes:
            try:
                async with asyncio.timeout(None if node is nodes[-1] else ANY_NODE_SECONDS):
                    return await self._client(node).execute_command(*words, **options)
            except UNREACHABLE as lost:
                self._slow_node = node
                self._slots.refresh()
                error = lost
        raise error

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _ClusterPipeline(self)

    def pubsub(self, **options: Any) -> PubSub:
        """Returns subscriptions at any node: each delivers what is published at all of them."""
        self._slots.refresh()
        return self._client(self._slots.any_node()).pubsub(**options)

    def close_left(self) -> None:
        """Closes soon the connections to nodes that have left the cluster, also those that are in use."""
        self._slots.refresh()

    async def _close_client(self, node: Node) -> None:
        if (client := self._clients.pop(node, None)) is not None:
            await client.aclose()

    def _no_node(self) -> Disconnected:
        cause = f" ({self._slots.last_error})" if self._slots.last_error else ""
        return Disconnected(f"No node of the cluster owns the slot, or none replies{cause}.")

    def _client(self, node: Node) -> Client:
        if node not in self._clients:
            self._clients[node] = self._create(node)
        return self._clients[node]


class _ClusterPipeline(Pipeline):
    """Commands that are sent at the same time, each to its node; the order of those with one key is kept."""

    def __init__(self, cluster: ClusterClient) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, False, None)
        self._cluster = cluster

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Returns the replies; an unreachable node is an error among the replies. Raises the first one."""
        commands, self.command_stack = self.command_stack, []
        calls = (self._cluster.execute_command(*words, **options) for words, options in commands)
        replies = await asyncio.gather(*calls, return_exceptions=True)
        for reply in replies:
            unexpected = isinstance(reply, BaseException) and not isinstance(
                reply, RedisError | OSError
            )
            if unexpected or (raise_on_error and isinstance(reply, BaseException)):
                raise reply
        return replies


def _slot(words: Sequence[Any]) -> int:
    """Returns the slot of the first key, or of the pattern of SCAN."""
    match words[0]:
        case "FCALL" | "EVAL":
            return slot_of(words[3])
        case "XREADGROUP":
            return slot_of(words[words.index(b"STREAMS") + 1])
        case "SCAN":
            return slot_of(words[words.index(b"MATCH") + 1])
    return slot_of(words[1])


def _need(memory: dict[str, Any]) -> tuple[bool, float]:
    """Returns whether a node may evict keys, and the share of its memory that is used."""
    limit = int(memory.get("maxmemory", 0))
    used = int(memory.get("used_memory", 0)) / limit if limit else 0.0
    return memory.get("maxmemory_policy", "noeviction") != "noeviction", used
