"""The connections of a server that have no request in progress."""

from __future__ import annotations

import asyncio


class IdleConnections:
    """Idle connections in the order in which they became idle."""

    def __init__(self) -> None:
        self._transports: dict[asyncio.Transport, None] = {}

    def add(self, transport: asyncio.Transport) -> None:
        """Adds a connection as the most recent one, unless it is there already."""
        self._transports[transport] = None

    def remove(self, transport: asyncio.Transport) -> None:
        """Removes a connection, if it is there."""
        self._transports.pop(transport, None)

    def close_longest(self) -> bool:
        """Closes the connection that has been idle longest. Returns False if none is idle."""
        for transport in self._transports:
            self.remove(transport)
            transport.abort()  # close() would wait until the client has read its last response
            return True
        return False
