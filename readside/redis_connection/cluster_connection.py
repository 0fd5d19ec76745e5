"""The connection of queries to a cluster: a multiplexed connection to each node, written once in a turn."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from hiredis import ReplyError

from readside.errors import ReadModelUnavailable
from readside.redis_connection.cluster import Node, SlotMap, redirection_of, slot_of
from readside.redis_connection.connection import MultiplexedConnection
from readside.redis_connection.encoding import pack
from readside.redis_connection.protocol import Replies

_ASKING: Final = pack(("ASKING",))


class ClusterConnection:
    """Sends each command to the node that owns the slot of its hash tag; closed by `async with`.

    It has the interface of MultiplexedConnection. A command without a hash tag goes to any node.
    """

    def __init__(
        self,
        slots: SlotMap,
        create: Callable[[Node], MultiplexedConnection],
        *,
        timeout_seconds: float,
    ) -> None:
        self._slots = slots
        slots.on_left = self._close_connection
        self._create = create
        self._timeout_seconds = timeout_seconds
        self._connections: dict[Node, MultiplexedConnection] = {}
        self._slot_by_tag: dict[bytes, int] = {}

    @property
    def in_flight(self) -> int:
        return sum(one.in_flight for one in self._connections.values())

    @property
    def connect_count(self) -> int:
        return sum(one.connect_count for one in self._connections.values())

    @property
    def rejected_count(self) -> int:
        return sum(one.rejected_count for one in self._connections.values())

    @property
    def failed_count(self) -> int:
        return sum(one.failed_count for one in self._connections.values())

    async def __aenter__(self) -> ClusterConnection:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._connections.values():
            await connection.close()
        await self._slots.close()  # last, because requests that fail refresh them

    async def send(self, commands: Sequence[bytes]) -> Replies:
        """Returns the replies to packed commands, at least one. Raises ReadModelError.

        The commands of one slot are executed in their order, also where the slot is being moved: a read ends
        with the command that says whether it may be used.
        """
        slots = [self._slot(command) for command in commands]
        at_by_node: defaultdict[Node, list[int]] = defaultdict(list)
        for at, slot in enumerate(slots):
            at_by_node[self._slots.known_owner(slot) or await self._slots.owner(slot)].append(at)
        if len(at_by_node) == 1:
            [node] = at_by_node
            replies = await self._send_to(node, commands)
        else:
            replies = [None] * len(commands)
            parts = (
                self._send_to(node, [commands[at] for at in places])
                for node, places in at_by_node.items()
            )
            found = await asyncio.gather(*parts, return_exceptions=True)
            for places, part in zip(at_by_node.values(), found, strict=True):
                if isinstance(part, BaseException):
                    raise part
                for at, reply in zip(places, part, strict=True):
                    replies[at] = reply
        if ReplyError in map(type, replies):
            await self._follow(commands, slots, replies)
        return replies

    async def _follow(
        self, commands: Sequence[bytes], slots: Sequence[int], replies: Replies
    ) -> None:
        """Executes all commands of the slots that were redirected again, one after another."""
        redirected = {
            slot for slot, reply in zip(slots, replies, strict=True) if redirection_of(reply)
        }
        for at, slot in enumerate(slots):
            if slot in redirected:
                replies[at] = await self._execute(commands[at], slot)

    async def _execute(self, command: bytes, slot: int) -> Any:
        async def attempt(node: Node, asking: bool) -> Any:
            words = [_ASKING, command] if asking else [command]
            return (await self._to(node).send(words))[-1]

        return await self._slots.execute(slot, attempt, patience_seconds=self._timeout_seconds)

    async def _send_to(self, node: Node, commands: Sequence[bytes]) -> Replies:
        try:
            return await self._to(node).send(commands)
        except ReadModelUnavailable:
            self._slots.refresh()
            raise

    async def _close_connection(self, node: Node) -> None:
        if (connection := self._connections.pop(node, None)) is not None:
            await connection.close()

    def _to(self, node: Node) -> MultiplexedConnection:
        if node not in self._connections:
            self._connections[node] = self._create(node)
        return self._connections[node]

    def _slot(self, command: bytes) -> int:
        """Returns the slot of the first hash tag, as no prefix of a key has a brace; 0 without one."""
        start = command.find(b"{")
        if start < 0:
            return 0
        tag = command[start : command.find(b"}", start) + 1]
        slot = self._slot_by_tag.get(tag)
        if slot is None:
            slot = self._slot_by_tag[tag] = slot_of(tag)
        return slot


ReadConnection: TypeAlias = MultiplexedConnection | ClusterConnection
"""A connection of queries."""
