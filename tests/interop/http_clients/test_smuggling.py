"""Attacks through nginx and HAProxy: nothing is executed that the proxy did not forward as a request, and
each response reaches the client that sent its request.

TANDEM_NIGHTLY=1 runs every attack through every proxy; otherwise each runs a part of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.api.wire import request
from tests.interop.http_clients.attacks import Attack, address, attacks, mutation
from tests.interop.http_clients.backend import backend
from tests.interop.http_clients.conftest import IS_NIGHTLY
from tests.interop.http_clients.proxies import CONFIGURATIONS, proxied
from tests.interop.http_clients.victim import connected, victims

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.wire import Response, Wire
    from tests.interop.http_clients.backend import Backend
    from tests.interop.http_clients.conftest import Installed
    from tests.interop.http_clients.proxies import Proxy
    from tests.interop.http_clients.victim import Victim

STEP = 1 if IS_NIGHTLY else 13
AT_ONCE = 4
"""Attacks that run at the same time."""

A_MOMENT = 0.02
"""Seconds in which a response may come before the rest of its request is sent."""


async def attack(port: int, each: Attack) -> list[Response]:
    """Returns the responses to an attack, at most as many as it has requests."""
    async with connected(port) as wire:
        first, *others = each.segments
        await wire.send(first)
        reading = asyncio.create_task(responses(wire, each))
        if each.waits:
            await asyncio.wait([reading], timeout=A_MOMENT)
        await wire.send(*others)
        if each.ending == "closes":
            reading.cancel()
            return []
        if each.ending == "half-closes":
            await wire.end()
        return await reading


async def responses(wire: Wire, each: Attack) -> list[Response]:
    found: list[Response] = []
    try:
        while len(found) < each.responses and (response := await wire.response()) is not None:
            found.append(response)
            if response.closes:
                break
    except asyncio.IncompleteReadError:
        assert each.ending == "half-closes"  # for nginx the client is gone then
    return found


async def forward_first(proxy: Proxy, seen: Backend) -> bytes:
    """Returns the bytes that the proxy sends for the mutation of number 0."""
    async with connected(proxy.port) as wire:
        for _ in range(2):
            await wire.send(request(mutation("inner", 0)))
            assert await wire.response() is not None
    seen.edge.store.commands.clear()
    return seen.received


def check_responses(each: Attack, found: list[Response]) -> None:
    """Every response with data is one to a request of this attack."""
    bodies = b"".join(response.body for response in found)
    own = [b'{"data":{"%b%05d":' % (role, each.number) for role in (b"outer", b"after")]
    if each.is_ambiguous:
        own.append(b'{"data":{"inner%05d":' % each.number)
    known = sum(bodies.count(start) for start in own) + bodies.count(b'{"data":{"__typename":')
    assert bodies.count(b'{"data":') == known, (each, found)


def check_backend(seen: Backend, done: list[Attack]) -> None:
    """The service has read each request that the proxy forwarded, and each mutation, once, and no other."""
    executed = {each.name for each in done if address("inner", each.number) in seen.created}
    assert executed <= {each.name for each in done if each.is_ambiguous}
    assert "" not in seen.ids, [head for head in seen.heads if b"x-request-id" not in head.fields]
    assert max(Counter(seen.ids).values()) == 1
    assert max(Counter(seen.created).values()) == 1


async def attack_all(proxy: Proxy, cases: list[Attack], served: list[Victim]) -> None:
    """Runs the attacks, and after each one has every victim send a request and read the response."""
    waiting = iter(cases)

    async def run() -> None:
        for each in waiting:
            try:
                check_responses(each, await attack(proxy.port, each))
            except Exception as error:
                error.add_note(f"in the attack {each.number}: {each.name}")
                raise
            for victim in served:
                await victim.passes()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(run())


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.timeout(600 if IS_NIGHTLY else 60)
async def test_nothing_is_executed_that_was_not_forwarded_and_no_response_goes_astray(
    name: str, installed: Installed, place: Path
) -> None:
    configuration = CONFIGURATIONS[name]
    program = installed(configuration.program)
    async with (
        backend() as seen,
        proxied(configuration, program, seen.server.address, place) as proxy,
    ):
        forwarded = await forward_first(proxy, seen)
        cases = [
            each
            for each in attacks(forwarded, step=STEP)
            if configuration.streams or not each.waits
        ]
        async with victims(proxy.port) as served:
            await attack_all(proxy, cases, served)
        ids = seen.ids  # a request of a victim that was cancelled may still arrive
        logged = await proxy.until_logged(ids)
        await proxy.end()
        await seen.until_disconnected()
    assert [victim.failures for victim in served] == [[] for _ in served]
    assert set(ids) <= logged
    check_backend(seen, cases)
    assert len(seen.ids) > 2 * seen.opened  # connections were kept, and so shared
