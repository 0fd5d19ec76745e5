"""Starts the commands that serve: binds ports, prepares the database, and runs the parts until a signal.

Only these commands import it, because it imports the schema and every part.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Final, TypeVar

import asyncpg
import msgspec
import structlog
import uvloop
from rich.console import Console

from api.observability import otel
from api.operator_error import OperatorError
from api.roles import ALL, Role
from api.runtime import drivers
from api.runtime.listeners import Listeners, bind_api, bind_port, bind_workers, close, url_of
from api.runtime.log_check import refuse_foreign_log_at_start
from api.runtime.migrations import apply_migrations
from api.runtime.process import run
from api.runtime.signals import run_until, stop_signals
from api.runtime.supervisor import Supervisor, WorkerListeners
from api.server_urls import LAST_PORT, reason
from api.settings import Settings, require_settings
from domain.connection_pool import CONNECTION_ERRORS, NOT_PRIMARY
from domain.migrate import check, check_positions

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_MUTATION: Final = (
    'mutation { createUser(input: {name: "Alice", email: "alice@example.com"}) { id } }'
)
_QUERY: Final = 'query { user(id: "the id you got") { name email createdAt } }'


async def up(settings: Settings) -> None:
    """Runs all roles with embedded stores, and prints when they are ready and when they have stopped."""
    try:
        from api.embedded import embedded_stores
    except ImportError as error:
        raise OperatorError(
            "The embedded stores are not installed; install tandem[embedded], or use `tandem serve`."
        ) from error
    console = Console(highlight=False, soft_wrap=True)
    with stop_signals() as stop, _bound(settings, ALL) as listeners:
        async with embedded_stores(settings.data_dir) as stores:
            urls = {"database_url": stores.database_url, "redis_url": stores.redis_url}
            located = settings.model_copy(update={**urls, "redis_password": None})
            applied = await run_until(stop, _migrate(located))
            if applied is not None:
                await refuse_foreign_log_at_start(located)
                await run(
                    located,
                    ALL,
                    stop,
                    listeners=listeners,
                    on_ready=lambda: _greet(console, settings, listeners[0][0], applied),
                    failure=stores.failed,
                )
    console.print(f"Tandem has stopped. Its data is kept in {settings.data_dir.absolute()}.")


async def serve(settings: Settings, roles: frozenset[Role], *, migrate_first: bool = False) -> None:
    """Runs these roles on the stores of the settings."""
    require_settings(settings, "database_url", "redis_url")
    with stop_signals() as stop:
        prepare = _migrate(settings) if migrate_first else _check_database(settings)
        if await run_until(stop, prepare) is None:
            return
        await refuse_foreign_log_at_start(settings)
        with _bound(settings, roles) as listeners:
            await run(settings, roles, stop, listeners=listeners)


def serve_with_workers(settings: Settings, workers: int) -> None:
    """Runs the API in several worker processes; each has its own event loop, connections and limits."""
    require_settings(settings, "database_url", "redis_url")
    asyncio.run(_check_database(settings))
    asyncio.run(refuse_foreign_log_at_start(settings))

    def run_worker(listeners: WorkerListeners, on_ready: Callable[[], object]) -> None:
        otel.configure(settings)
        uvloop.run(_serve_in_worker(settings, listeners, on_ready))

    api = _or_refuse_host(settings, lambda: bind_workers(settings, workers))
    health = _bind_health_ports(settings, workers, roles=frozenset({Role.API}))
    listeners = list(zip(api, health, strict=True) if health else zip(api, strict=True))
    Supervisor(listeners, run_worker).run()


async def _serve_in_worker(
    settings: Settings, listeners: WorkerListeners, on_ready: Callable[[], object]
) -> None:
    with stop_signals() as stop:
        roles = frozenset({Role.API})
        await run(settings, roles, stop, listeners=listeners, on_ready=on_ready)


async def _migrate(settings: Settings) -> list[str]:
    """Migrates the database, checks it, and returns the names of the migrations that were applied."""
    applied, shared_addresses = await apply_migrations(settings)
    if applied:
        _log.info("migration.applied", names=applied)
    for shared_address in shared_addresses:
        _log.warning("migration.shared_address_found", **msgspec.to_builtins(shared_address))
    await _check_database(settings)
    return applied


async def _check_database(settings: Settings) -> bool:
    """Refuses a database with other partitions or taken positions; it need not be available."""
    with suppress(*CONNECTION_ERRORS, *NOT_PRIMARY):
        try:
            connection = await drivers.connect_to_primary(settings, settings.read_timeout)
        except asyncpg.ClientConfigurationError as error:
            raise OperatorError(f"DATABASE_URL cannot be used: {reason(error)}.") from error
        try:
            await check(connection, settings.partitions)
            await check_positions(connection)
        finally:
            await connection.close()
    return True


@contextmanager
def _bound(settings: Settings, roles: frozenset[Role]) -> Iterator[list[Listeners]]:
    """Yields the listening sockets of each application of these roles."""
    with ExitStack() as stack:
        listeners: list[Listeners] = []
        if Role.API in roles:
            listeners.append(_or_refuse_host(settings, lambda: bind_api(settings)))
            stack.callback(close, listeners[0])
        for sockets in _bind_health_ports(settings, roles=roles):
            stack.callback(close, sockets)
            listeners.append(sockets)
        yield listeners


def _bind_health_ports(
    settings: Settings, workers: int = 1, *, roles: frozenset[Role]
) -> list[Listeners]:
    """Returns the sockets of each worker, on consecutive ports; none without HEALTH_PORT."""
    first = settings.health_port
    if first is None:
        return []
    ports = range(first, first + workers) if first else [first] * workers
    has_api_port = Role.API in roles and settings.listens_on_port and settings.port in ports
    if first and (has_api_port or ports[-1] > LAST_PORT):
        raise OperatorError(
            f"HEALTH_PORT={first} is the first of {workers} in a row, one for each worker: choose it so that"
            f" none is PORT={settings.port}, and none above {LAST_PORT}."
        )
    return [
        _or_refuse_port(settings, "health_port", port, partial(bind_port, settings, port))
        for port in ports
    ]


def _or_refuse_host(settings: Settings, bind: Callable[[], T]) -> T:
    """Returns what `bind` returns; its OSError becomes a sentence about PORT, or HOST without a port."""
    if settings.listens_on_port:
        return _or_refuse_port(settings, "port", settings.port, bind)
    try:
        return bind()
    except OSError as error:
        raise OperatorError(f"HOST={settings.host} cannot be used ({error.strerror}).") from error


def _or_refuse_port(settings: Settings, name: str, port: int, bind: Callable[[], T]) -> T:
    """Returns what `bind` returns; its OSError becomes a sentence about the setting of this name."""
    try:
        return bind()
    except OSError as error:
        raise OperatorError(
            f"Port {port} on {settings.host} cannot be used ({error.strerror});"
            f" stop what uses it, or choose another, such as {name.upper()}={port + 1}."
        ) from error


def _greet(
    console: Console, settings: Settings, listener: socket.socket, applied: list[str]
) -> None:
    url = url_of(listener, settings)
    data = settings.data_dir.absolute()
    migrations = f"  Migrations applied:  {', '.join(applied)}\n" if applied else ""
    unix_socket = (
        f"  Unix socket:         {listener.getsockname()}\n"
        if listener.family == socket.AF_UNIX
        else ""
    )
    console.print(f"""
[bold]Tandem is up.[/]

  GraphiQL:            [bold cyan]{url}/graphql[/]
  Status page:         [cyan]{url}/[/]

  Create a user:       [green]{_MUTATION}[/]
  Query the user:      [green]{_QUERY}[/]

{unix_socket}{migrations}  Data directory:      {data}
  To delete the data:  stop Tandem, then run  rm -rf {data}
  To stop Tandem:      press Ctrl-C
""")
