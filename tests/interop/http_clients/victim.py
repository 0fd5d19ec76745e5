"""A client that shares a proxy with another one, and knows its own responses."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from tests.api.wire import Wire, request
from tests.limited import limited
from tests.processes import HOST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


class Victim:
    """Sends one request after another on a connection of its own, each with an alias that no other has."""

    def __init__(self, port: int, name: str) -> None:
        self._port = port
        self._name = name
        self._passed = asyncio.Condition()
        self.sent = 0
        self.served = 0
        self.failures: list[str] = []
        """What came in place of a response, or a response to another request."""

    async def run(self) -> None:
        """Sends requests until it is cancelled."""
        while True:
            async with connected(self._port) as wire:
                while await self._serve(wire):
                    pass

    async def _serve(self, wire: Wire) -> bool:
        """Sends a request and reads its response. Returns False if no other can follow."""
        self.sent += 1
        alias = f"{self._name}{self.sent}"
        await wire.send(request(f"{{ {alias}: __typename }}"))
        response = await wire.response()
        if response is None:
            self.failures.append(f"{alias}: closed without a response")
        elif (response.status, response.body) != (200, b'{"data":{"%b":"Query"}}' % alias.encode()):
            self.failures.append(f"{alias}: {response.status} {response.body[:200]!r}")
        async with self._passed:
            self.served += 1
            self._passed.notify_all()
        return response is not None and not response.closes

    async def passes(self) -> None:
        """Waits until a request that is sent later than now has been served."""
        target = self.sent + 1
        async with limited(10), self._passed:
            await self._passed.wait_for(lambda: self.served >= target)


@asynccontextmanager
async def victims(port: int, count: int = 2) -> AsyncIterator[list[Victim]]:
    running = [Victim(port, name) for name in _names(count)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(victim.run()) for victim in running]
        yield running
        for task in tasks:
            task.cancel()


def _names(count: int) -> Iterator[str]:
    return (f"victim{number}_" for number in range(count))
