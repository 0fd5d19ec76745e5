"""What the commands that serve do: bind, prepare the database, and run the parts until a signal.

Imported only by whoever serves, because it brings the schema and every part along.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg
import msgspec
import structlog
import uvloop
from rich.console import Console

from api.observability import otel
from api.operator_error import OperatorError
from api.roles import ALL, Role
from api.runtime import drivers
from api.runtime.log_check import refuse_foreign_log_at_start
from api.runtime.migrations import UNREACHABLE, migrated
from api.runtime.process import bind_health, bind_listener, bind_workers, run
from api.runtime.signals import run_until, stop_signals
from api.runtime.supervisor import Sockets, Supervisor
from api.server_urls import LAST_PORT, reason
from api.settings import require_settings
from domain.connection_pool import NOT_PRIMARY
from domain.migrate import check, check_positions

if TYPE_CHECKING:
    from api.settings import Settings

T = TypeVar("T")

_log = structlog.get_logger(__name__)


_MUTATION: Final = (
    'mutation { createUser(input: {name: "Alice", email: "alice@example.com"}) { id } }'
)
_QUERY: Final = 'query { user(id: "the id you got") { name email createdAt } }'


async def up(settings: Settings) -> None:
    """Everything, with stores of its own."""
    try:
        from api.embedded import EmbeddedError, embedded_stores
    except ImportError as error:
        raise OperatorError(
            "The embedded stores are not installed; install tandem[embedded], or use `tandem serve`."
        ) from error
    with stop_signals() as stop, _bound(settings, ALL) as listeners:
        try:
            async with embedded_stores(settings.data_dir) as stores:
                located = settings.model_copy(
                    update={
                        "database_url": stores.database_url,
                        "redis_url": stores.redis_url,
                        "redis_password": None,
                    }
                )
                if await run_until(stop, _prepared(located)) is None:
                    return
                await refuse_foreign_log_at_start(located)
                await run(
                    located,
                    ALL,
                    stop,
                    listeners=listeners,
                    ready=lambda: _greet(settings, listeners[0]),
                    watch=stores.failed,
                )
        except EmbeddedError as error:
            raise OperatorError(str(error)) from error


async def serve(settings: Settings, roles: frozenset[Role], *, first_migrate: bool = False) -> None:
    """These roles, on the stores of the settings."""
    require_settings(settings, "database_url", "redis_url")
    with stop_signals() as stop:
        prepare = _prepared(settings) if first_migrate else _checked(settings)
        if await run_until(stop, prepare) is None:
            return
        await refuse_foreign_log_at_start(settings)
        with _bound(settings, roles) as listeners:
            await run(settings, roles, stop, listeners=listeners)


def crew(settings: Settings, workers: int) -> None:
    """Workers that serve the API; each has its own loop, drivers and limits."""
    require_settings(settings, "database_url", "redis_url")
    asyncio.run(_checked(settings))
    asyncio.run(refuse_foreign_log_at_start(settings))

    def work(sockets: Sockets, ready: Callable[[], None]) -> None:
        otel.configure(settings)
        uvloop.run(_work(settings, sockets, ready))

    api = _taken(settings, "port", settings.port, lambda: bind_workers(settings, workers))
    health = _listen_for_health(settings, workers, beside=settings.port)
    Supervisor(list(zip(api, health, strict=True) if health else zip(api, strict=True)), work).run()


async def _work(settings: Settings, sockets: Sockets, ready: Callable[[], None]) -> None:
    with stop_signals() as stop:
        await run(settings, frozenset({Role.API}), stop, listeners=sockets, ready=ready)


def _listen_for_health(
    settings: Settings, workers: int = 1, *, beside: int | None
) -> list[socket.socket]:
    """One for each worker, on ports in a row; none without HEALTH_PORT. `beside` is the port of the API."""
    first = settings.health_port
    if first is None:
        return []
    ports = range(first, first + workers) if first else [first] * workers
    if first and (beside in ports or ports[-1] > LAST_PORT):
        raise OperatorError(
            f"HEALTH_PORT={first} is the first of {workers} in a row, one for each worker: choose it so that"
            f" none is PORT={settings.port}, and none above {LAST_PORT}."
        )
    return [
        _taken(settings, "health_port", port, partial(bind_health, settings, port))
        for port in ports
    ]


async def _prepared(settings: Settings) -> bool:
    """Migrates a database, and refuses one that no event can be written to."""
    _, shared = await migrated(settings)
    for each in shared:
        _log.warning("migrate.address_shared", **msgspec.to_builtins(each))
    return await _checked(settings)


async def _checked(settings: Settings) -> bool:
    """Refuses a database that was made otherwise; one that is away for now is no reason not to start."""
    with suppress(*UNREACHABLE, *NOT_PRIMARY):
        try:
            connection = await drivers.connected(settings, settings.read_timeout)
        except asyncpg.ClientConfigurationError as error:
            raise OperatorError(f"DATABASE_URL cannot be used: {reason(error)}.") from error
        try:
            await check(connection, settings.partitions)
            await check_positions(connection)
        finally:
            await connection.close()
    return True


@contextmanager
def _bound(settings: Settings, roles: frozenset[Role]) -> Iterator[list[socket.socket]]:
    """A listener for each application that these roles have."""
    with ExitStack() as stack:
        found = []
        if Role.API in roles:
            api = _taken(settings, "port", settings.port, lambda: bind_listener(settings))
            found.append(stack.enter_context(api))
        beside = settings.port if Role.API in roles else None
        found += map(stack.enter_context, _listen_for_health(settings, beside=beside))
        yield found


def _taken(settings: Settings, name: str, port: int, listening: Callable[[], T]) -> T:
    """What listens on this port, for which the setting is to blame."""
    try:
        return listening()
    except OSError as error:
        raise OperatorError(
            f"Port {port} on {settings.host} cannot be used ({error.strerror});"
            f" stop what uses it, or choose another, such as {name.upper()}={port + 1}."
        ) from error


def _greet(settings: Settings, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    data = settings.data_dir.absolute()
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"""
[bold]Tandem is up.[/]  GraphiQL: [bold cyan]http://{host}:{port}/graphql[/]   how it is doing: [cyan]http://{host}:{port}/[/]

  Create a user:  [green]{_MUTATION}[/]
  and see it:     [green]{_QUERY}[/]

  The data lives in {data}; to wipe it, stop Tandem and run:  rm -rf {data}
  Ctrl-C stops everything.
""")
