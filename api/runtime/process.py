"""Runs the parts of one process until a signal, a failed loop or a failed embedded store ends them.

The order of the shutdown is always the same: stop accepting requests, finish requests in flight, cancel the
loops, close the connections.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING

import structlog

from api.operator_error import OperatorError
from api.roles import Role
from api.runtime.background import LoopFailed, cancel_all
from api.runtime.composition import compose

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from api.runtime.http_server import HttpServer
    from api.settings import Settings

_GC_THRESHOLDS = (20_000, 20, 50)
"""Allocations before a collection of reference cycles. Requests leave next to none, and after 700
allocations, the default, a collection would traverse the requests in flight, for a twentieth of their
cost."""

_log = structlog.get_logger(__name__)


class UnsafeBinding(OperatorError):
    """Without authentication, the API would be open to other machines; str() says what to do."""


def bind_listener(settings: Settings) -> socket.socket:
    """Returns the socket of the API, bound before anything is started.

    Raises OSError if the port is in use, and UnsafeBinding if other machines reach it without permission.
    """
    listener = bind_port(settings, settings.port)
    try:
        _refuse_unsafe(listener, settings)
    except UnsafeBinding:
        listener.close()
        raise
    return listener


def bind_workers(settings: Settings, workers: int) -> list[socket.socket]:
    """Returns one socket for each worker, all on the same port. Raises as bind_listener does."""
    # A shared port could be shared with another program too, so it is bound without sharing first.
    with bind_listener(settings) as exclusive:
        address = exclusive.getsockname()
    listeners = [_socket(settings) for _ in range(workers)]
    for listener in listeners:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    return listeners


def bind_port(settings: Settings, port: int) -> socket.socket:
    """Returns a socket that is bound without a check of who may reach it. Raises OSError."""
    listener = _socket(settings)
    try:
        listener.bind((settings.host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _socket(settings: Settings) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return listener


def _refuse_unsafe(listener: socket.socket, settings: Settings) -> None:
    """Raises UnsafeBinding. Checks the bound address, because a name in HOST may stand for any."""
    if settings.local_only and not ip_address(listener.getsockname()[0]).is_loopback:
        raise UnsafeBinding(
            f"HOST={settings.host} is reachable from other machines, and authentication is off:"
            " set AUTH_SECRET or AUTH_JWKS_URL, or start with --allow-anonymous (ALLOW_ANONYMOUS=true)."
        )


async def run(
    settings: Settings,
    roles: frozenset[Role],
    stop: asyncio.Event,
    *,
    listeners: Sequence[socket.socket] = (),
    on_ready: Callable[[], object] = lambda: None,
    failure: Callable[[], Awaitable[str]] | None = None,
) -> None:
    """Runs these roles until `stop` is set. Raises LoopFailed.

    `listeners` has one socket for each application of the service, in their order. `on_ready` is called when
    requests are served; `failure` waits until something outside the process fails, and returns a sentence
    about it.
    """
    async with compose(settings, roles) as service:
        loops = [asyncio.create_task(loop(), name=name) for name, loop in service.loops.items()]
        if failure is not None:
            loops.append(asyncio.create_task(_raise_on_failure(failure), name="stores"))
        try:
            await _serve(settings, service.apps, stop, loops, listeners, on_ready)
        finally:
            await cancel_all(loops)


async def _raise_on_failure(failure: Callable[[], Awaitable[str]]) -> None:
    raise LoopFailed(await failure())


async def _serve(
    settings: Settings,
    apps: Sequence[Starlette],
    stop: asyncio.Event,
    loops: list[asyncio.Task[None]],
    listeners: Sequence[socket.socket],
    on_ready: Callable[[], object],
) -> None:
    """Serves the applications until `stop` is set or a loop ends."""
    servers = _servers(settings, apps) if apps else []
    serving = [
        asyncio.create_task(server.serve([listener]), name="server")
        for server, listener in zip(servers, listeners, strict=True)
    ]
    try:
        started_up = asyncio.create_task(_wait_for_startup(servers))
        await asyncio.wait([started_up, *serving], return_when=asyncio.FIRST_COMPLETED)
        gc.collect()
        gc.freeze()  # objects of the start stay: the collector does not traverse them again
        gc.set_threshold(*_GC_THRESHOLDS)
        if not any(task.done() for task in serving):
            on_ready()
        await _wait_for_end(stop, [*loops, *serving])
    finally:
        for app, server in zip(apps, servers, strict=True):
            app.state.closing.set()
            server.should_exit = True
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*serving)


def _servers(settings: Settings, apps: Sequence[Starlette]) -> list[HttpServer]:
    from api.http.protocols.server_config import uvicorn_config
    from api.runtime.http_server import HttpServer  # here: relay and projector need neither

    grace_seconds = int(settings.shutdown_timeout)
    return [
        HttpServer(uvicorn_config(app, timeout_graceful_shutdown=grace_seconds)) for app in apps
    ]


async def _wait_for_startup(servers: Sequence[HttpServer]) -> None:
    for server in servers:
        await server.started_up.wait()


async def _wait_for_end(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Waits until `stop` is set; raises LoopFailed if one of the tasks ends before."""
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in done - {stopping}:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LoopFailed):
            raise error
        _log.error("worker.failed", worker=task.get_name(), exc_info=error)
        raise LoopFailed(
            f"The {task.get_name()} loop ended, so the process ends too; the log says why."
        ) from error
