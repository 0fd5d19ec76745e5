"""The connections to replicas: to a reader endpoint, or to one replica of each primary of a cluster."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from readside.redis_connection.cluster import Node, SlotMap, slot_of
from readside.redis_connection.connection import MultiplexedConnection
from readside.redis_connection.connection_expiry import ConnectionExpiry

_MAX_AGE_SECONDS: Final = 30.0
"""How long a replica is read before another one is chosen."""

_MIN_INTERVAL_SECONDS: Final = 1.0
"""Minimum between two choices."""


class ReplicaConnections:
    """Connections to replicas, closed by `async with`. They connect at their first request."""

    def __init__(
        self,
        create: Callable[[Node | None, ConnectionExpiry], MultiplexedConnection],
        slots: SlotMap | None,
    ) -> None:
        """`create` is called with a node of the cluster that `slots` describes, or with None."""
        self._create = create
        self._expiry = ConnectionExpiry()
        self._slots = slots
        self._connections: dict[Node | None, MultiplexedConnection] = {}
        self._choice = random.randrange(1 << 16)  # noqa: S311 (spreads processes over the replicas)
        self._chosen_at = time.monotonic()

    async def __aenter__(self) -> ReplicaConnections:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._connections.values():
            await connection.close()
        if self._slots is not None:
            await self._slots.close()

    def connection_for(self, key: str) -> MultiplexedConnection | None:
        """Returns the connection to a replica with this key; None if none is known."""
        if time.monotonic() >= self._chosen_at + _MAX_AGE_SECONDS:
            self.choose_others()
        node = None
        if self._slots is not None:
            if not (nodes := self._slots.known_replicas(slot_of(key))):
                self._slots.refresh()
                return None
            node = nodes[self._choice % len(nodes)]
        if node not in self._connections:
            self._connections[node] = self._create(node, self._expiry)
        return self._connections[node]

    def choose_others(self) -> None:
        """Has another replica chosen: where the endpoint leads to, or of those that the cluster has."""
        now = time.monotonic()
        if now < self._chosen_at + _MIN_INTERVAL_SECONDS:
            return  # the same failure, of another partition
        self._choice += 1
        self._chosen_at = now
        if self._slots is None:
            self._expiry.expire()
        else:
            self._slots.refresh()
