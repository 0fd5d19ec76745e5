"""The lifetime of both stores: lock the data directory, start both concurrently, yield their URLs, stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from api.embedded.child_process import Server
from api.embedded.data_directory import Directory, opened_directory
from api.embedded.locks import exclusive_lock, lock_servers
from api.embedded.ownership import change_owner
from api.embedded.postgres import database_url, postgres_ready, start_postgres
from api.embedded.run_as import Identity, allow_traversal, choose_identity
from api.embedded.sockets import socket_directory
from api.embedded.valkey import redis_url, start_valkey, valkey_ready
from api.operator_error import OperatorError


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The URLs of both running stores."""

    database_url: str
    redis_url: str
    servers: tuple[Server, ...]

    async def failed(self) -> str:
        """Waits until a store ends unexpectedly, and returns a sentence that names it."""
        exits = {asyncio.ensure_future(server.exited()): server for server in self.servers}
        try:
            done, _ = await asyncio.wait(exits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in exits:
                task.cancel()
        program = exits[done.pop()].program
        return f"{program.name} ended by itself; its log is {program.log}."


@asynccontextmanager
async def embedded_stores(data_dir: Path, *, durable: bool = True) -> AsyncIterator[Stores]:
    """Runs both stores on `data_dir`, which is created if missing. Raises OperatorError.

    The calling thread must live as long as the stores. With `durable=False` nothing is synced or logged
    to disk, for tests.
    """
    with opened_directory(data_dir) as data:
        async with exclusive_lock(data):
            with data.opened("servers.lock") as lock:
                await lock_servers(data, lock)
                with socket_directory(data) as sockets:
                    async with running(data, sockets, lock=lock, durable=durable) as stores:
                        yield stores


@asynccontextmanager
async def running(
    data: Directory, sockets: Directory, *, lock: int, durable: bool
) -> AsyncIterator[Stores]:
    started: list[Server] = []

    async def start() -> None:
        identity = await choose_identity(data.owner)
        allow_traversal(data, identity)
        change_owner(sockets, identity.owner)
        async with asyncio.TaskGroup() as group:
            group.create_task(launch(start_postgres, postgres_ready, identity))
            group.create_task(launch(start_valkey, valkey_ready, identity))

    async def launch(
        start: Callable[..., Awaitable[Server]],
        ready: Callable[[Server, Path], Awaitable[None]],
        identity: Identity,
    ) -> None:
        server = await start(data, sockets.path, identity=identity, lock=lock, durable=durable)
        started.append(server)
        await ready(server, sockets.path)

    try:
        with first_error_only(data.path):
            await start()
        yield Stores(
            database_url=database_url(sockets.path),
            redis_url=redis_url(sockets.path),
            servers=tuple(started),
        )
    finally:
        await asyncio.gather(*(server.stop() for server in started))


@contextmanager
def first_error_only(data_dir: Path) -> Iterator[None]:
    """Raises the error of the store that failed to start instead of an exception group."""
    try:
        try:
            yield
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
    except OSError as error:
        raise OperatorError(f"The stores cannot start in {data_dir}: {error}.") from error
