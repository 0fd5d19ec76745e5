"""Runs the parts of one process until a signal, a failed loop or a failed embedded store ends them.

The order of the shutdown is always the same: stop accepting requests, finish requests in flight, cancel the
loops, close the connections.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from api.roles import Role
from api.runtime.background import LoopFailed, cancel_all
from api.runtime.composition import compose
from api.runtime.listeners import stop_listening

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from api.http.protocols.server_config import HttpServer
    from api.runtime.listeners import Listeners
    from api.settings import Settings

_GC_THRESHOLDS = (20_000, 20, 50)
"""Allocations before a collection of reference cycles. Requests leave next to none, and after 700
allocations, the default, a collection would traverse the requests in flight, for a twentieth of their
cost."""

_log = structlog.get_logger(__name__)


async def run(
    settings: Settings,
    roles: frozenset[Role],
    stop: asyncio.Event,
    *,
    listeners: Sequence[Listeners] = (),
    on_ready: Callable[[], object] = lambda: None,
    failure: Callable[[], Awaitable[str]] | None = None,
) -> None:
    """Runs these roles until `stop` is set. Raises LoopFailed.

    `listeners` has the sockets of each application of the service, in their order. `on_ready` is called when
    requests are served; `failure` waits until something outside the process fails, and returns a sentence
    about it.
    """
    async with compose(settings, roles) as service:
        loops = [_start(name, loop()) for name, loop in service.loops.items()]
        if failure is not None:
            loops.append(_start("stores", _raise_on_failure(failure)))
        try:
            await _serve(settings, service.apps, stop, loops, listeners, on_ready)
        finally:
            await cancel_all(loops)


def _start(name: str, run: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(run, name=name)
    task.add_done_callback(_log_failure)
    return task


def _log_failure(task: asyncio.Task[None]) -> None:
    """Logs the error of a task, also if another one ends the process; LoopFailed is its own message."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, LoopFailed):
        _log.error("worker.failed", worker=task.get_name(), exc_info=error)


async def _raise_on_failure(failure: Callable[[], Awaitable[str]]) -> None:
    raise LoopFailed(await failure())


async def _serve(
    settings: Settings,
    apps: Sequence[Starlette],
    stop: asyncio.Event,
    loops: list[asyncio.Task[None]],
    listeners: Sequence[Listeners],
    on_ready: Callable[[], object],
) -> None:
    """Serves the applications until `stop` is set or a loop ends."""
    servers = _servers(settings, apps) if apps else []
    serving = [
        _start("server", server.serve(list(sockets)))
        for server, sockets in zip(servers, listeners, strict=True)
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
        for app, server, sockets in zip(apps, servers, listeners, strict=True):
            stop_listening(sockets)
            app.state.closing.set()
            server.should_exit = True
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*serving)


def _servers(settings: Settings, apps: Sequence[Starlette]) -> list[HttpServer]:
    # Imported here: relay and projector need neither.
    from api.http.protocols.server_config import HttpServer, uvicorn_config

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
        raise LoopFailed(
            f"The {task.get_name()} loop ended, so the process ends too; the log says why."
        ) from error
