"""A PostgreSQL and a Valkey of one test alone, that can be killed, started again, paused and set back.

Nothing is synced to disk: a process that is killed loses nothing that it gave to the kernel. What a COMMIT
promises is kept all the same, so `synchronous_commit` stays on, and Valkey writes its file before it answers.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from api.embedded.child_process import Program, Server, spawn
from api.embedded.data_directory import Directory, opened_directory
from api.embedded.locks import lock_servers
from api.embedded.ownership import change_owner, claim
from api.embedded.postgres import (
    database_url,
    ensure_cluster,
    postgres_ready,
    remove_pid_file,
    server_command,
)
from api.embedded.run_as import Identity, allow_traversal, choose_identity
from api.embedded.valkey import redis_url, valkey_ready
from api.embedded.valkey import server_command as valkey_command
from domain.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POSTGRES = ("synchronous_commit=on", "max_connections=60", "log_min_messages=fatal")
STOPS = ((signal.SIGINT, 10.0), (signal.SIGKILL, 5.0))

S = TypeVar("S", bound="Store")


class Store:
    """A server on a data directory. `url` stays the same over all its starts."""

    name: str
    url: str

    def __init__(self, place: Path, identity: Identity) -> None:
        self.place = place
        self.identity = identity
        self._server: Server | None = None
        self._stack = AsyncExitStack()
        self._directory: Directory | None = None

    @property
    def sockets(self) -> Path:
        return self.place / "run"

    @property
    def data(self) -> Path:
        raise NotImplementedError

    @property
    def directory(self) -> Directory:
        assert self._directory is not None, f"{self.name} was never started"
        return self._directory

    @property
    def pid(self) -> int:
        assert self._server is not None, f"{self.name} does not run"
        return self._server.pid

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.running

    async def start(self) -> None:
        """Waits until nothing of its last run is left, starts it, and waits until it answers."""
        directory = self._stack.enter_context(opened_directory(self.place))
        allow_traversal(directory, self.identity)
        directory.make("run", exist_ok=True)
        with directory.entered("run") as sockets:
            change_owner(sockets, self.identity.owner)
        self._directory = directory
        descriptor = self._stack.enter_context(directory.opened("servers.lock"))
        await lock_servers(directory, descriptor)
        self._server = await self._spawn(descriptor)
        await self._ready(self._server)

    async def kill(self) -> None:
        """SIGKILL, and nothing else: what it leaves behind is for its next start."""
        await self._end(((signal.SIGKILL, 5.0),))

    async def stop(self) -> None:
        """As an operator stops it."""
        await self._end(STOPS)

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def _end(self, stops: tuple[tuple[signal.Signals, float], ...]) -> None:
        if self._server is not None:
            self._server.program = replace(self._server.program, stop_signals=stops)
            await self._server.stop()
        self._server = None
        await self._stack.aclose()

    def _program(self, command: tuple[str, ...]) -> Program:
        return Program(
            name=self.name,
            command=command,
            data=self.directory,
            folder=self.name,
            log_file=f"{self.name}.log",
            death_signal=signal.SIGKILL,
            stop_signals=STOPS,
            identity=self.identity.argument,
        )

    async def _spawn(self, held: int) -> Server:
        raise NotImplementedError

    async def _ready(self, server: Server) -> None:
        raise NotImplementedError


class Postgres(Store):
    """The write model's store."""

    name = "postgres"

    def __init__(self, place: Path, identity: Identity, *settings: str) -> None:
        super().__init__(place, identity)
        self.url = database_url(self.sockets)
        self._settings = (*POSTGRES, *settings)

    @property
    def data(self) -> Path:
        return self.place / "postgres"

    def crash(self, pid: int) -> None:
        """SIGKILL to one of its own backends, as the kernel does when memory runs out."""
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1]
        assert int(parent) == self.pid, f"process {pid} is none of ours"
        os.kill(pid, signal.SIGKILL)

    async def _spawn(self, held: int) -> Server:
        await ensure_cluster(self._program(()), owner=self.identity.owner, lock=held, durable=False)
        remove_pid_file(self.directory)
        command = server_command(self.data, self.sockets, durable=False)
        options = [part for setting in self._settings for part in ("-c", setting)]
        return await spawn(self._program((*command, *options)), lock=held)

    async def _ready(self, server: Server) -> None:
        await postgres_ready(server)


class Valkey(Store):
    """The read model's store. Without `appendonly` a kill empties it."""

    name = "valkey"

    def __init__(
        self, place: Path, identity: Identity, *settings: str, appendonly: bool = True
    ) -> None:
        super().__init__(place, identity)
        self.url = redis_url(self.sockets)
        self._settings = settings
        self.appendonly = appendonly

    @property
    def data(self) -> Path:
        return self.place / "valkey"

    async def _spawn(self, held: int) -> Server:
        self.directory.make("valkey", exist_ok=True)
        claim(self.directory, "valkey", self.identity.owner)
        command = valkey_command(self.data, self.sockets, durable=self.appendonly)
        options = ("--appendfsync", "no", *self._settings)
        return await spawn(self._program((*command, *options)), lock=held)

    async def _ready(self, server: Server) -> None:
        await valkey_ready(server, self.sockets)


@asynccontextmanager
async def postgres(
    place: Path, *settings: str, template: Path | None = None
) -> AsyncIterator[Postgres]:
    """A running PostgreSQL below `place`, stopped on the way out. `template` is a data directory to copy."""
    store = Postgres(place, await _identity(place.parent), *settings)
    if template is not None:
        await _copy(template, store.data)  # its start makes it the identity's
    async with _run(store):
        yield store


async def _copy(directory: Path, to: Path) -> None:
    """Copies a directory with all that is in it, for which cp needs less time than Python."""
    to.parent.mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec("cp", "-a", str(directory), str(to))
    assert await process.wait() == 0


@asynccontextmanager
async def valkey(place: Path, *settings: str, appendonly: bool = True) -> AsyncIterator[Valkey]:
    """A running Valkey below `place`, stopped on the way out."""
    async with _run(
        Valkey(place, await _identity(place.parent), *settings, appendonly=appendonly)
    ) as store:
        yield store


_identities: dict[int, Identity] = {}


async def _identity(place: Path) -> Identity:
    """The one that this process has found for directories of the same owner: to find one takes processes."""
    owner = place.stat().st_uid
    if owner not in _identities:
        _identities[owner] = await choose_identity(owner)
    return _identities[owner]


@asynccontextmanager
async def _run(store: S) -> AsyncIterator[S]:
    try:
        await store.start()
        yield store
    finally:
        if store.running:
            store.resume()
        await store.kill()  # nobody reads its data any more


async def made_template(place: Path, partitions: int) -> Path:
    """A migrated data directory to copy, which spares every test an initdb."""
    async with postgres(place) as store:
        connection = await asyncpg.connect(store.url)
        try:
            await migrate(connection, partitions)
        finally:
            await connection.close()
        await store.stop()
    return place / "postgres"
