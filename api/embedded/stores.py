"""The lifetime of both stores: lock, start side by side, hand out addresses, stop last."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.embedded.data_directory import opened_directory
from api.embedded.errors import EmbeddedError
from api.embedded.locks import await_no_servers, owned
from api.embedded.ownership import give
from api.embedded.postgres import database_url, postgres_ready, start_postgres
from api.embedded.run_as import choose_identity, let_through
from api.embedded.sockets import socket_directory
from api.embedded.valkey import redis_url, start_valkey, valkey_ready

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from api.embedded.child_process import Server
    from api.embedded.data_directory import Directory
    from api.embedded.run_as import Identity


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Where both stores answer, for as long as the `async with` that gave this."""

    database_url: str
    redis_url: str
    servers: tuple[Server, ...]

    async def failed(self) -> str:
        """Wait until a store ends that nobody stopped, and say which."""
        waits = {asyncio.ensure_future(server.exited()): server for server in self.servers}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        program = waits[done.pop()].program
        return f"{program.name} ended by itself; its log is {program.log}."


@asynccontextmanager
async def embedded_stores(data_dir: Path, *, durable: bool = True) -> AsyncIterator[Stores]:
    """Run both stores on `data_dir`, which is made when missing. Raises EmbeddedError.

    Enter it in a thread that lives as long as the stores do. With `durable=False` nothing is synced
    or logged to disk: for tests, whose data dies with them.
    """
    with opened_directory(data_dir) as data:
        async with owned(data):
            with data.opened("servers.lock") as held:
                await await_no_servers(data, held)
                with socket_directory(data) as sockets:
                    async with running(data, sockets, held=held, durable=durable) as stores:
                        yield stores


@asynccontextmanager
async def running(
    data: Directory, sockets: Directory, *, held: int, durable: bool
) -> AsyncIterator[Stores]:
    started: list[Server] = []

    async def start() -> None:
        identity = await choose_identity(data.owner)
        let_through(data, identity)
        give(sockets, identity.owner)
        async with asyncio.TaskGroup() as group:
            group.create_task(postgres(identity))
            group.create_task(valkey(identity))

    async def postgres(identity: Identity) -> None:
        server = await start_postgres(
            data, sockets.path, identity=identity, held=held, durable=durable
        )
        started.append(server)
        await postgres_ready(server)

    async def valkey(identity: Identity) -> None:
        server = await start_valkey(
            data, sockets.path, identity=identity, held=held, durable=durable
        )
        started.append(server)
        await valkey_ready(server, sockets.path)

    try:
        with one_sentence(data.path):
            await start()
        yield Stores(
            database_url=database_url(sockets.path),
            redis_url=redis_url(sockets.path),
            servers=tuple(started),
        )
    finally:
        await asyncio.gather(*(server.stop() for server in started))


@contextmanager
def one_sentence(data_dir: Path) -> Iterator[None]:
    """One store's failure to start, out of the group that the other's cancelling makes of it."""
    try:
        try:
            yield
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
    except OSError as error:
        raise EmbeddedError(f"The stores cannot start in {data_dir}: {error}.") from error
