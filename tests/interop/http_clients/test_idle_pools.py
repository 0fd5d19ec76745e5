"""Idle connections of a proxy to the service, where LIMIT_IDLE_SECONDS is longer than the proxy keeps them.

A service that closes one at the moment at which the proxy sends a request on it causes a 502.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from api.limits import Limits
from tests.api.wire import request
from tests.interop.http_clients.backend import backend
from tests.interop.http_clients.conftest import IS_NIGHTLY
from tests.interop.http_clients.proxies import CONFIGURATIONS, proxied
from tests.interop.http_clients.victim import connected
from tests.limited import limited

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.http_clients.conftest import Installed

POOL_SECONDS = 0.2
IDLE_SECONDS = 2.0
"""Much longer, since HAProxy closes half of its idle connections at a time."""

ROUNDS = 100 if IS_NIGHTLY else 5


async def send_slowly(port: int, pause: float) -> list[int | None]:
    """Returns the status of each request; None if the connection was closed instead."""
    statuses: list[int | None] = []
    for _ in range(ROUNDS):
        async with connected(port) as wire:
            await wire.send(request())
            response = await wire.response()
        statuses.append(response.status if response else None)
        await asyncio.sleep(pause)
    return statuses


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
async def test_the_proxy_and_not_the_service_closes_connections_that_are_idle(
    name: str, installed: Installed, place: Path
) -> None:
    configuration, program = CONFIGURATIONS[name], installed(name)
    pauses = [POOL_SECONDS * factor for factor in (0.9, 1, 1.1, 1.2)]
    async with (
        backend(Limits(idle_seconds=IDLE_SECONDS)) as seen,
        proxied(
            configuration, program, seen.server.address, place, idle_seconds=POOL_SECONDS
        ) as proxy,
    ):
        found = await asyncio.gather(*(send_slowly(proxy.port, pause) for pause in pauses))
        assert found == [[200] * ROUNDS for _ in pauses]
        async with limited(10):
            while not seen.lost:
                await asyncio.sleep(0.01)
        assert seen.closed_idle == 0
