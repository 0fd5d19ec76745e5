"""Redis Cluster: which node owns a slot, and what to do when a node redirects a command.

While a slot is moved key by key, a key that its old owner does not have may be at its new owner, so a
redirection is never the reply to a read. A command that no node can execute is an unavailable Redis.
"""

from __future__ import annotations

import asyncio
import random
from binascii import crc_hqx
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple

import hiredis
import msgspec
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from readside.errors import UNREACHABLE, ReadModelUnavailable
from readside.redis_connection.encoding import pack
from readside.redis_connection.protocol import PendingRequest, Replies, Server, open_connection

SLOTS: Final = 16_384

_MIN_INTERVAL_SECONDS: Final = 0.1
"""Minimum between two requests for the slots."""

_TRY_AGAIN_SECONDS: Final = 0.02
"""Pause before a command is repeated whose keys are being moved."""

_MAX_MOVES: Final = 5
"""How often one command is sent to the owner that another node names."""

ANY_NODE_SECONDS: Final = 0.25
"""How long one node may take for a request that any can execute, before the next one gets it."""

_LIST_SLOTS: Final = pack(("CLUSTER", "SLOTS"))


class Node(NamedTuple):
    """The address of a node."""

    host: str
    port: int


class Redirection(NamedTuple):
    """Why a node has not executed a command: MOVED or ASK with the node that may, TRYAGAIN or CLUSTERDOWN."""

    kind: str
    node: Node | None = None


def slot_of(key: str | bytes) -> int:
    """Returns the slot of a key; of its hash tag if it has one."""
    name = key.encode() if isinstance(key, str) else key
    start = name.find(b"{")
    if start >= 0 and (end := name.find(b"}", start + 1)) > start + 1:
        name = name[start + 1 : end]
    return crc_hqx(name, 0) % SLOTS


def redirection_of(reply: object) -> Redirection | None:
    """Returns the redirection in a reply of either driver, if it is one."""
    if isinstance(reply, AskError):
        kind = "MOVED" if isinstance(reply, MovedError) else "ASK"
        return Redirection(kind, Node(reply.host, int(reply.port)))
    if isinstance(reply, TryAgainError):
        return Redirection("TRYAGAIN")
    if isinstance(reply, ClusterDownError):
        return Redirection("CLUSTERDOWN")
    if not isinstance(reply, hiredis.ReplyError):
        return None
    kind, *rest = str(reply).split()
    if kind in {"MOVED", "ASK"}:
        host, _, port = rest[1].rpartition(":")
        return Redirection(kind, Node(host, int(port)))
    return Redirection(kind) if kind in {"TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN"} else None


class SlotMap:
    """The owner of each slot, by a node of the cluster; read again when a command is redirected or fails."""

    def __init__(self, server: Server, seeds: Sequence[Node], timeout_seconds: float) -> None:
        """`server` has the credentials, `seeds` are known nodes, `timeout_seconds` is the limit for each."""
        self._server = server
        self._seeds = list(seeds)
        self._timeout_seconds = timeout_seconds
        self._owners: list[Node | None] = [None] * SLOTS
        self._replicas: dict[Node, list[Node]] = {}
        self._nodes: list[Node] = []
        self._refreshing: asyncio.Task[None] | None = None
        self._refresh_at = 0.0
        self.on_left: Callable[[Node], Coroutine[Any, Any, None]] | None = None
        """Called with each node that has left the cluster."""
        self._leaving: set[asyncio.Task[None]] = set()
        self.last_error = ""
        """Why the last node has not listed its slots; '' if it has."""

    @property
    def primaries(self) -> list[Node]:
        """The nodes that own slots."""
        return list(dict.fromkeys(owner for owner in self._owners if owner is not None))

    def any_node(self) -> Node:
        """Returns a node of the cluster at random."""
        return random.choice(self._nodes or self._seeds)  # noqa: S311

    def known_owner(self, slot: int) -> Node | None:
        return self._owners[slot]

    def known_replicas(self, slot: int) -> list[Node]:
        """Returns the replicas of the owner of a slot, as of the last refresh."""
        owner = self._owners[slot]
        return [] if owner is None else self._replicas.get(owner, [])

    async def owner(self, slot: int) -> Node:
        """Returns the owner of a slot. Raises ReadModelUnavailable if no node knows one."""
        if (owner := self._owners[slot]) is None:
            await asyncio.wait([self.refresh()], timeout=self._timeout_seconds)
            owner = self._owners[slot]
        if owner is None:
            raise ReadModelUnavailable
        return owner

    def refresh(self) -> asyncio.Task[None]:
        """Returns the request for the slots, which is begun if none is in flight; it never fails."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh(), name="slots")
        return self._refreshing

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def execute(
        self,
        slot: int,
        attempt: Callable[[Node, bool], Awaitable[Any]],
        *,
        patience_seconds: float,
    ) -> Any:
        """Returns the reply of the node that can execute a command on keys of this slot.

        `attempt` sends it to a node, after ASKING if the flag is set, and returns an error that redirects as
        a value. So does this method, where it is redirected for longer than `patience_seconds`. Raises what
        `attempt` raises, and ReadModelUnavailable.
        """
        clock = asyncio.get_running_loop().time
        deadline, moves = clock() + patience_seconds, 0
        while True:
            node = await self.owner(slot)
            try:
                reply = await attempt(node, False)
                redirection = redirection_of(reply)
                if redirection is not None and redirection.kind == "ASK":
                    reply = await attempt(self._resolved(redirection, node), True)
                    redirection = redirection_of(reply)
            except UNREACHABLE:
                self.refresh()
                raise
            if redirection is None:
                return reply
            if redirection.kind == "MOVED" and moves < _MAX_MOVES:
                moves += 1
                self._owners[slot] = self._resolved(redirection, node)
                self.refresh()
            elif redirection.kind in {"ASK", "TRYAGAIN"} and clock() < deadline:
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
            else:
                self.refresh()
                return reply

    def _resolved(self, redirection: Redirection, sender: Node) -> Node:
        """Returns the node of a redirection, which omits a host that is the sender's."""
        assert redirection.node is not None
        host, port = redirection.node
        return Node(host or sender.host, port)

    async def _refresh(self) -> None:
        """Reads the slots from the first node that replies; many errors cause few requests."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._refresh_at - clock())
        known = [node for node in self._nodes if node not in self._seeds] + self._seeds
        nodes = random.sample(known, len(known))
        for node in nodes:
            limit = self._timeout_seconds if node is nodes[-1] else ANY_NODE_SECONDS
            try:
                async with asyncio.timeout(min(limit, self._timeout_seconds)):
                    self._take(await self._read(node), node)
                self.last_error = ""
                break
            except Exception as error:  # whatever it is, this node is of no use
                self.last_error = str(error) or type(error).__name__
        self._refresh_at = clock() + _MIN_INTERVAL_SECONDS

    async def _read(self, node: Node) -> Replies:
        """Requests the slots on a new connection. Raises OSError and hiredis.ReplyError."""
        result: asyncio.Future[Replies] = asyncio.get_running_loop().create_future()
        request = PendingRequest(_LIST_SLOTS, 1, result, 0.0)
        server = server_at(self._server, node)
        lost = ConnectionResetError()
        protocol = await open_connection(server, lambda: None, lambda _: request.fail(lost))
        try:
            protocol.queue.add(request)
            protocol.send(request.packed)
            [reply] = await result
        finally:
            protocol.abort()
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return list(reply)

    def _take(self, ranges: Replies, sender: Node) -> None:
        """Raises ConnectionError if the node knows no slots: it is not part of the cluster any more."""
        if not ranges:
            raise ConnectionError(f"{sender.host}:{sender.port} knows no slots")
        owners: list[Node | None] = [None] * SLOTS
        nodes, replicas = set(), {}
        for first, last, *servers in ranges:
            addresses = [Node(host or sender.host, port) for host, port, *_ in servers]
            owners[first : last + 1] = [addresses[0]] * (last + 1 - first)
            nodes.update(addresses)
            replicas[addresses[0]] = addresses[1:]
        left = set(self._nodes) - nodes
        self._owners, self._nodes, self._replicas = owners, sorted(nodes), replicas
        if self.on_left is None:
            return
        for node in left:
            task = asyncio.create_task(self.on_left(node), name="node left")
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)


def server_at(server: Server, node: Node) -> Server:
    """Returns the address of a node with the credentials of `server`."""
    return msgspec.structs.replace(server, host=node.host, port=node.port)
