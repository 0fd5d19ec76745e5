"""One process of Tandem: from the first signal handler to the last closed connection.

It ends when it is told to, when a loop falls, or when an embedded store ends; always in the same order:
no new requests, requests under way, loops, drivers, and whatever `compose` stands on last.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar

import structlog
import uvicorn

from api.http.protocols.server_config import uvicorn_config
from api.operator_error import OperatorError
from api.roles import Role
from api.runtime.background import LoopFailed, cancel_all
from api.runtime.composition import compose

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from api.settings import Settings

T = TypeVar("T")

_RARELY = (20_000, 20, 50)
"""When the collector looks for circles. Requests leave next to none, and after 700 allocations, as is usual,
it would go through those under way, for a twentieth of what they cost."""

_log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, because the process has its own; it tells when it has begun."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.begun.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class UnsafeBinding(OperatorError):
    """Everybody who reaches the address could do everything; str() says what to do."""


def bind_listener(settings: Settings) -> socket.socket:
    """The socket to serve on, bound before anything is started.

    Raises OSError if the port is taken, and Exposed if others reach it and nobody said that they may.
    """
    listener = _socket(settings)
    try:
        listener.bind((settings.host, settings.port))
        _guard(listener, settings)
    except (OSError, UnsafeBinding):
        listener.close()
        raise
    return listener


def bind_health(settings: Settings, port: int) -> socket.socket:
    """The socket of a health port: nobody can do anything there, so it may be reached. Raises OSError."""
    listener = _socket(settings)
    try:
        listener.bind((settings.host, port))
    except OSError:
        listener.close()
        raise
    return listener


def bind_workers(settings: Settings, workers: int) -> list[socket.socket]:
    """One socket for each worker, all on the same port. Raises as `listen` does."""
    with bind_listener(
        settings
    ) as alone:  # those that share a port would share it with another program's
        address = alone.getsockname()
    listeners = [_socket(settings) for _ in range(workers)]
    for listener in listeners:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    return listeners


def _socket(settings: Settings) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def _guard(listener: socket.socket, settings: Settings) -> None:
    """By the address that was bound: a name in HOST may stand for any."""
    bound = ip_address(listener.getsockname()[0])
    if settings.local_only and not bound.is_loopback:
        raise UnsafeBinding(
            f"HOST={settings.host} is reached from other machines, and everybody could do everything:"
            " set AUTH_SECRET or AUTH_JWKS_URL, or say --allow-anonymous (ALLOW_ANONYMOUS=true)."
        )


async def run(
    settings: Settings,
    roles: frozenset[Role],
    stop: asyncio.Event,
    *,
    listeners: Sequence[socket.socket] = (),
    ready: Callable[[], None] = lambda: None,
    watch: Callable[[], Awaitable[str]] | None = None,
) -> None:
    """Runs these roles until `stop` is set. Raises Fallen.

    `listeners` are one for each application of the service, in their order. `watch` waits for something
    outside to fail and says what; `ready` is called when requests are answered.
    """
    async with compose(settings, roles) as service:
        loops = service.loops.items()
        watched = [asyncio.create_task(loop(), name=name) for name, loop in loops]
        if watch is not None:
            watched.append(asyncio.create_task(_watched(watch), name="stores"))
        try:
            await _serve(settings, service.apps, stop, watched, listeners, ready)
        finally:
            await cancel_all(watched)


async def _watched(watch: Callable[[], Awaitable[str]]) -> None:
    raise LoopFailed(await watch())


async def _serve(
    settings: Settings,
    apps: Sequence[Starlette],
    stop: asyncio.Event,
    watched: list[asyncio.Task[None]],
    listeners: Sequence[socket.socket],
    ready: Callable[[], None],
) -> None:
    grace = int(settings.shutdown_timeout)
    servers = [_Server(uvicorn_config(app, timeout_graceful_shutdown=grace)) for app in apps]
    pairs = zip(servers, listeners, strict=True)
    serving = [asyncio.create_task(one.serve([socket]), name="server") for one, socket in pairs]
    try:
        begun = asyncio.create_task(_begun(servers))
        await asyncio.wait([begun, *serving], return_when=asyncio.FIRST_COMPLETED)
        gc.collect()
        gc.freeze()  # what is there after the start stays: the collector need not look at it again
        gc.set_threshold(*_RARELY)
        if not any(task.done() for task in serving):
            ready()
        await _first(stop, [*watched, *serving])
    finally:
        for app, server in zip(apps, servers, strict=True):
            app.state.closing.set()
            server.should_exit = True
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*serving)


async def _begun(servers: Sequence[_Server]) -> None:
    for server in servers:
        await server.begun.wait()


async def _first(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Waits until the process shall stop; raises Fallen if one of the tasks ends before."""
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in done - {stopping}:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LoopFailed):
            raise error
        _log.error("loop.fell", loop=task.get_name(), exc_info=error)
        raise LoopFailed(
            f"The {task.get_name()} loop ended, so the process ends too; the log says why."
        ) from error
